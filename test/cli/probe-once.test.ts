// Goal: `gengate probe` finds out by itself whether a server generates. Method: real sockets.
import t from 'tap'
import { probeOnce, type ProbeTarget } from '../../src/cli/probe-once.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { jsonServer, type Reply } from './json-server.ts'

const answer: Reply = [
  200,
  { choices: [{ finish_reason: 'length', message: {} }], usage: { completion_tokens: 1 } },
]
const list: Reply = [200, { data: [{ id: 'first' }, { id: 'second' }] }]

function targetAt(url: string, more: Partial<ProbeTarget> = {}): ProbeTarget {
  return { upstream: null, engine: 'openai', url, model: null, apiKey: null, ...more }
}

t.test('probeOnce() asks an unknown server for the first model that it lists', async (t) => {
  const { url, seen } = await jsonServer(t, {
    'GET /v1/models': list,
    'POST /v1/chat/completions': answer,
  })
  const found = await probeOnce(targetAt(url, { apiKey: 'k' }), 5_000, systemClock)
  t.match(found, { models: ['first', 'second'], outcome: { kind: 'pass', tokens: 1 } })
  t.same(
    seen.map(({ method, path }) => `${method} ${path}`),
    ['GET /v1/models', 'POST /v1/chat/completions'],
    'one list, one generation',
  )
  t.match(JSON.parse(seen[1]?.body ?? ''), { model: 'first', max_tokens: 1 })
  t.ok(seen.every(({ authorization }) => authorization === 'Bearer k'))
})

t.test('probeOnce() calls a server that lists and never generates a timeout', async (t) => {
  const { url } = await jsonServer(t, {
    'GET /v1/models': list,
    'POST /v1/chat/completions': null,
  })
  t.match(await probeOnce(targetAt(url), 200, systemClock), {
    models: ['first', 'second'],
    outcome: { kind: 'timeout', limitMs: 200 },
  })
})

t.test('probeOnce() keeps the words of a gate that refuses, and no engine is one', async (t) => {
  const message = 'No upstream can generate now. vllm_cpu: wedged for 12 s'
  const of = (code: unknown): Reply => [503, { error: { message, type: 'x', code } }]
  const table: [list: Reply, answer: Reply, refusal: unknown][] = [
    [
      of('no_eligible_upstream'),
      of('no_eligible_upstream'),
      { code: 'no_eligible_upstream', message },
    ],
    [list, of('no_eligible_upstream'), { code: 'no_eligible_upstream', message }],
    [list, of('queue_full'), { code: 'queue_full', message }],
    [list, of('overloaded'), undefined],
    [list, of(503), undefined],
    [list, [429, { error: { message, code: 'queue_full' } }], undefined],
    [of('no_eligible_upstream'), answer, undefined],
  ]
  for (const [list, generation, refusal] of table) {
    const { url } = await jsonServer(t, {
      'GET /v1/models': list,
      'POST /v1/chat/completions': generation,
      'POST /v1/completions': generation,
    })
    const found = await probeOnce(targetAt(url), 5_000, systemClock)
    t.same(found.refusal, refusal, JSON.stringify(generation))
  }
})

t.test('probeOnce() makes no configured Ollama load a model', async (t) => {
  const { url, seen } = await jsonServer(t, { 'GET /api/ps': [200, { models: [] }] })
  const target = targetAt(url, { upstream: 'ollama', engine: 'ollama', model: 'gemma' })
  t.match(await probeOnce(target, 5_000, systemClock), { outcome: { kind: 'cold' } })
  t.ok(seen.every(({ method }) => method === 'GET'))
})

t.test('probeOnce() says refused where nothing listens', async (t) => {
  const found = await probeOnce(targetAt('http://127.0.0.1:1'), 5_000, systemClock)
  t.match(found, { models: null, outcome: { kind: 'fail', reason: 'refused' } })
})

t.test('probeOnce() is given up by its signal, and leaves no connection', async (t) => {
  const { url } = await jsonServer(t, {
    'GET /v1/models': list,
    'POST /v1/chat/completions': null,
  })
  const stop = new AbortController()
  const target = targetAt(url, { model: 'tiny' })
  const ended = probeOnce(target, 60_000, systemClock, stop.signal)
  systemClock.after(50, () => stop.abort())
  t.not((await ended).outcome.kind, 'pass')
})
