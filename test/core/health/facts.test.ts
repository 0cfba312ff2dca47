import t from 'tap'
import type { FlightItem } from '../../../src/core/health/evidence.ts'
import {
  awaitsLoad,
  endRuleOf,
  isHeldUp,
  isKnownFor,
  isUsed,
  lastDoneAt,
  lastProofAt,
  loadAfter,
  NO_FACTS,
  onlyEmbeds,
} from '../../../src/core/health/facts.ts'
import { plainModel } from '../../../src/core/model/model-choice.ts'

const item: FlightItem = { sentAt: 3, bytes: 9, streamed: true, contentAt: null, maxTokens: null }
const cold = { ...item, cold: true }
const flightOf = (...items: FlightItem[]) => ({ inFlight: 1, waiting: 1, newest: item, items })
const works = { ...NO_FACTS.works, embedding: { doneAt: 5, failedAt: null, longestMs: 0 } }

t.test('the last proof is the newest of its kind', (t) => {
  t.equal(lastProofAt(NO_FACTS), null)
  t.equal(lastProofAt({ passAt: 3, progressAt: null }), 3)
  t.equal(lastProofAt({ passAt: 3, progressAt: 4 }), 4)
  t.equal(lastDoneAt({ ...NO_FACTS, works, embedsAt: 6 }, 'embedding'), 6)
  t.equal(lastDoneAt({ ...NO_FACTS, works, embedsAt: 4 }, 'embedding'), 5)
  t.equal(lastDoneAt({ ...NO_FACTS, works, embedsAt: 6 }, 'rerank'), null)
  t.equal(onlyEmbeds({ embedsAt: 3, passAt: null, progressAt: 2 }), true)
  t.equal(onlyEmbeds({ embedsAt: 3, passAt: 3, progressAt: null }), false)
  t.end()
})

t.test('an upstream is known for work that it did, or lists a model for', (t) => {
  const models = [{ ...plainModel('e'), work: 'embedding' as const }]
  t.equal(isKnownFor({ facts: NO_FACTS, model: null }, 'embedding'), false)
  t.equal(isKnownFor({ facts: { ...NO_FACTS, works }, model: 'x' }, 'embedding'), true)
  t.equal(isKnownFor({ facts: { ...NO_FACTS, models }, model: null }, 'embedding'), true)
  t.equal(isKnownFor({ facts: { ...NO_FACTS, models }, model: 'x' }, 'embedding'), false)
  t.equal(isKnownFor({ facts: { ...NO_FACTS, models }, model: null }, 'rerank'), false)
  t.end()
})

t.test('a request waits for a load until its first content', (t) => {
  const unloaded = { failure: { reason: 'model_not_loaded', at: 0 } } as const
  t.equal(awaitsLoad({ failure: null }, cold), true)
  t.equal(awaitsLoad({ failure: null }, item), false)
  t.equal(awaitsLoad(unloaded, item), true)
  t.equal(awaitsLoad(unloaded, { ...item, contentAt: 4 }), false)
  t.end()
})

t.test('loadAfter() sees one load for as long as any request waits for one', (t) => {
  t.equal(loadAfter(NO_FACTS, flightOf(item), 9), null)
  const began = loadAfter(NO_FACTS, flightOf(cold), 9)
  t.strictSame(began, { since: 3, at: 9, endedAt: null })
  const waiting = { ...NO_FACTS, load: began, flight: flightOf(cold) }
  const later = { ...cold, sentAt: 8 }
  t.strictSame(loadAfter(waiting, flightOf(later), 10), { since: 3, at: 10, endedAt: null })
  const over = { ...waiting, load: { since: 9, at: 9, endedAt: 9 } }
  t.strictSame(loadAfter(over, flightOf(later), 10), over.load, 'who came before only queues')
  t.equal(isHeldUp({ load: began }, 9), true)
  t.equal(isHeldUp({ load: began }, 10), false)
  t.end()
})

t.test('a client counts as here for a minute', (t) => {
  const used = { since: 0, at: 1_000 }
  t.equal(isUsed({ ...NO_FACTS, used }, 60_999), true)
  t.equal(isUsed({ ...NO_FACTS, used }, 61_000), false)
  t.end()
})

t.test(
  'endRuleOf() holds an upstream to what it has shown, unless the operator knows better',
  (t) => {
    const auto = { streamEnd: 'auto', engine: 'openai' } as const
    t.equal(endRuleOf(auto, { streamEnd: null }), 'learn')
    t.equal(endRuleOf(auto, { streamEnd: 'finish_reason' }), 'finish_reason')
    t.equal(endRuleOf({ ...auto, engine: 'vllm' }, { streamEnd: 'done' }), 'finish_reason')
    t.equal(endRuleOf({ ...auto, streamEnd: 'done' }, { streamEnd: 'finish_reason' }), 'done')
    t.end()
  },
)
