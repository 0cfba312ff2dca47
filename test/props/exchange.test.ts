import * as fc from 'fast-check'
import t from 'tap'
import { BUDGET_MAX, SENT_MAX } from '../../src/core/exchange/ending.ts'
import type {
  AttemptEnding,
  ExchangeEffect,
  ExchangeEvent,
  Failed,
} from '../../src/core/exchange/exchange.ts'
import type { Evidence } from '../../src/core/health/evidence.ts'
import { answer, failed, OneRequest } from '../support/one-request.ts'
import { holds } from '../support/property.ts'
import { spec, tableConfig, World } from '../support/world.ts'

// Goal: whatever comes in whatever order, one request has one ending and one answer.
// Method: random events, also such as cannot come now, over a table whose verdicts change; the client
// goes at the end. What is to be done is checked as a whole.

type Order =
  | { readonly event: Exclude<ExchangeEvent, { type: 'look' | 'attempt_ended' }> }
  | { readonly look: { readonly stillMs: number; readonly blocked: boolean } }
  | { readonly ending: AttemptEnding }
  | { readonly passMs: number }
  | { readonly about: string; readonly evidence: (at: number) => Evidence }

const NAMES = ['a', 'b', 'c', 'd']
const WHYS: readonly Failed['why'][] = [
  'refused',
  'unreachable',
  'reset',
  'http_5xx',
  'busy',
  'unauthorized',
  'model_not_found',
  'model_not_loaded',
  'ours',
]

const endings: fc.Arbitrary<AttemptEnding> = fc.oneof(
  fc
    .record({ why: fc.constantFrom(...WHYS), sent: fc.boolean(), whole: fc.boolean() })
    .map(({ why, sent, whole }) => failed(why, { sent, answer: whole ? answer(500) : null })),
  fc.constantFrom<AttemptEnding>(
    { kind: 'finished' },
    { kind: 'passed', status: 400, answer: null },
    { kind: 'passed', status: 400, answer: answer(400) },
    { kind: 'cut', code: 'upstream_truncated', detail: '' },
    { kind: 'aborted' },
  ),
)

const orders: fc.Arbitrary<Order> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Order>({ event: { type: 'decide' } }) },
  {
    weight: 4,
    arbitrary: fc
      .constantFrom<ExchangeEvent['type']>('waited', 'first_content', 'committed', 'commit_due')
      .map((type): Order => ({ event: { type } as never })),
  },
  {
    weight: 2,
    arbitrary: fc.boolean().map((seen): Order => ({ event: { type: 'died', seen } })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ stillMs: fc.constantFrom(0, 300_000), blocked: fc.boolean() })
      .map((look): Order => ({ look })),
  },
  { weight: 6, arbitrary: endings.map((ending): Order => ({ ending })) },
  {
    weight: 1,
    arbitrary: fc.constant<Order>({ event: { type: 'stop', code: 'gate_draining', detail: '' } }),
  },
  { weight: 3, arbitrary: fc.constantFrom(10, 900, 8_000).map((passMs): Order => ({ passMs })) },
  {
    weight: 3,
    arbitrary: fc
      .record({
        about: fc.constantFrom(...NAMES),
        evidence: fc.constantFrom<(at: number) => Evidence>(
          (at) => ({ type: 'live_failure', at, failure: 'refused' }),
          (at) => ({ type: 'process', at, phase: 'asleep' }),
          (at) => ({ type: 'process', at, phase: 'running' }),
          (at) => ({ type: 'probe_ended', at, outcome: { kind: 'pass', latencyMs: 9, tokens: 1 } }),
        ),
      })
      .map((told): Order => told),
  },
)

/** What was done for one request, event by event. */
function live(given: readonly Order[], replay: boolean): Done {
  const specs = NAMES.map((name, i) => spec({ name, url: `http://127.0.0.1:${i + 1}` }))
  const world = new World(tableConfig({ specs })).pass('a').pass('b').pass('c')
  const one = new OneRequest(world, { replay })
  const done = new Done()
  const note = (effects: readonly ExchangeEffect[], ending?: AttemptEnding): void => {
    done.note(effects, one.budget.tokens, ending)
  }
  note(one.decide())
  for (const order of given) {
    if ('passMs' in order) world.at(world.now + order.passMs)
    else if ('evidence' in order) world.tell(order.about, order.evidence(world.now))
    else if ('look' in order) note(one.look(order.look))
    else if ('ending' in order) {
      const ran = one.state.now.kind === 'trying'
      note(one.ends(order.ending), ran ? order.ending : undefined)
    } else {
      const effects = one.tell(order.event)
      if (order.event.type === 'died' && order.event.seen) done.replayed(effects)
      note(effects)
    }
    done.committed = one.state.head === 'committed'
  }
  note(one.tell({ type: 'client_gone' }))
  note(one.decide())
  return done
}

/** Judges what is done as it comes. */
class Done {
  readonly wrong = new Set<string>()
  committed = false
  #seen = 0
  #leases = 0
  #ends = 0
  #last = 0
  #heads = 0
  #held = 0

  replayed(effects: readonly ExchangeEffect[]): void {
    if (!effects.some(({ type }) => type === 'replay')) return
    this.#seen++
    if (this.#seen >= SENT_MAX) this.wrong.add('replayed to one too many')
  }

  note(effects: readonly ExchangeEffect[], tokens: number, ending?: AttemptEnding): void {
    if (ending !== undefined && (ending.kind !== 'failed' || ending.sent)) this.#seen++
    if (tokens < 0 || tokens > BUDGET_MAX) this.wrong.add('budget')
    for (const effect of effects) {
      if (this.#ends > 0) this.wrong.add(`${effect.type} after the end`)
      this.#one(effect)
    }
  }

  #one(effect: ExchangeEffect): void {
    const { type } = effect
    if (this.committed && (type === 'answer' || type === 'commit_pending' || type === 'send')) {
      this.wrong.add(`${type} after the commit`)
    }
    if (type === 'answer' && this.#heads > 0) this.wrong.add('a whole answer after a head')
    if (type === 'commit_pending') this.#heads++
    if (this.#heads > 1) this.wrong.add('two heads')
    if (type === 'emit' && effect.event.type === 'held' && ++this.#held > 1) this.wrong.add('held')
    if (type === 'send') {
      if (this.#seen >= SENT_MAX) this.wrong.add('sent to one too many')
      if (++this.#leases > 1) this.wrong.add('two leases')
    }
    if (type === 'release' && --this.#leases < 0) this.wrong.add('released twice')
    if (['answer', 'pass_on', 'end', 'cut', 'hang_up'].includes(type)) this.#last++
    if (type === 'over') this.#ends++
  }

  verdict(): string[] {
    if (this.#ends !== 1) this.wrong.add(`${this.#ends} endings`)
    if (this.#last !== 1) this.wrong.add(`${this.#last} last words`)
    if (this.#leases !== 0) this.wrong.add(`${this.#leases} leases are left`)
    return [...this.wrong]
  }
}

t.test('one ending, one answer, every lease back, two upstreams at most', async (t) => {
  holds(
    t,
    'whatever comes in whatever order',
    fc.property(fc.array(orders, { maxLength: 25 }), fc.boolean(), (given, replay) => {
      const wrong = live(given, replay).verdict()
      if (wrong.length > 0) throw new Error(wrong.join('; '))
    }),
    2_000,
  )
})
