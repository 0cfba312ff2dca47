import t from 'tap'
import { parseGateStatus } from '../../../src/cli/gate-status.ts'
import { statusLines } from '../../../src/cli/commands/status.ts'
import { gengate } from '../recorded-io.ts'
import { jsonServer } from '../json-server.ts'

const NOW = Date.UTC(2026, 0, 1, 12, 0, 30)

function row(more: object = {}) {
  return {
    name: 'vllm_cpu',
    engine: 'vllm',
    url: 'http://127.0.0.1:8001',
    intent: 'enabled',
    eligible: true,
    state: 'eligible',
    reason: 'ok',
    since: '2026-01-01T12:00:00.000Z',
    hint: 'A probe generated a token.',
    in_flight: 3,
    models: ['tiny'],
    ...more,
  }
}

function documentOf(...upstreams: unknown[]) {
  return {
    version: '0.1.0',
    uptime_s: 90,
    config: { ok: true, error: null, shadowed: [] },
    upstreams,
    added_later: true,
  }
}

t.test('parseGateStatus() takes what it needs and refuses what is no such document', async (t) => {
  t.match(parseGateStatus(documentOf(row())), {
    version: '0.1.0',
    uptimeS: 90,
    upstreams: [{ name: 'vllm_cpu', eligible: true, inFlight: 3, models: ['tiny'] }],
  })
  t.match(parseGateStatus(documentOf({ name: 'bare' }, 7, {})), {
    upstreams: [{ name: 'bare', eligible: false, since: null }],
  })
  for (const other of [null, [], 'x', {}, { upstreams: [] }, { version: '1', uptime_s: 1 }]) {
    t.equal(parseGateStatus(other), null)
  }
})

t.test('statusLines() is a table with a hint under what is not eligible', async (t) => {
  const status = parseGateStatus({
    ...documentOf(
      row(),
      row({
        name: 'ollama',
        eligible: false,
        state: 'ejected',
        reason: 'refused',
        since: null,
        hint: 'Start the engine.',
        models: ['a', 'b', 'c', 'd'],
      }),
    ),
    config: { ok: false, error: 'GENGATE_PORT is wrong', shadowed: ['GENGATE_HOLD_MS'] },
  })
  if (status === null) throw new Error('unreachable')
  t.same(statusLines(status, NOW), [
    'gengate 0.1.0, running for 90 s',
    'NAME      STATE     REASON   SINCE  IN FLIGHT  MODELS',
    'vllm_cpu  eligible  ok       30 s   3          tiny',
    'ollama    ejected   refused  -      3          a, b, c and 1 more',
    '  Start the engine.',
    'Last reload failed: GENGATE_PORT is wrong',
    'GENGATE_HOLD_MS in the env file has no effect: the environment wins.',
  ])
})

t.test('status ends with 0 exactly when something is servable', async (t) => {
  const no = { eligible: false }
  const table: [row: object, code: number][] = [
    [{}, 0],
    [{ ...no, state: 'suspect' }, 0],
    [{ ...no, state: 'cold' }, 0],
    [{ ...no, state: 'cold', cold: 'never' }, 1],
    [{ ...no, state: 'unknown' }, 1],
    [{ ...no, state: 'unknown', probe: 'passive' }, 0],
    [{ ...no, state: 'ejected' }, 1],
    [{ ...no, state: 'draining' }, 1],
  ]
  for (const [more, code] of table) {
    const document = documentOf(row(more))
    const { port } = await jsonServer(t, { 'GET /gate/status': [200, document] })
    const ended = await gengate('status --json', { GENGATE_PORT: String(port) })
    t.equal(ended.code, code, JSON.stringify(more))
    t.same(JSON.parse(ended.out), document, 'the document as it came')
  }
})

t.test('status --verbose --json has the last words that its text has', async (t) => {
  const process = { state: 'backing_off', program: 'e', log: '/state/a.log' }
  const document = documentOf(row({ process }))
  const { port } = await jsonServer(t, { 'GET /gate/status': [200, document] })
  const env = { GENGATE_PORT: String(port) }
  const files = { '/state/a.log': 'a\nerror: no model\n' }
  const { out } = await gengate('status --verbose', env, files)
  const json = await gengate('status --verbose --json', env, files)
  const { last_words: words, ...rest } = JSON.parse(json.out)
  t.same(rest, document)
  t.ok(words.vllm_cpu.length > 1)
  for (const line of words.vllm_cpu) t.ok(out.split('\n').includes(line), line)
})

t.test('status says what to do where no gate answers', async (t) => {
  const key = 'gate-key-of-some-length'
  const other = await jsonServer(t, {})
  const locked = await jsonServer(t, {
    'GET /gate/status': [401, { error: { code: 'invalid_api_key' } }],
  })
  const table: [port: number, words: RegExp][] = [
    [1, /No gate answers at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\)\. .*gengate serve/],
    [other.port, /Something else than gengate/],
    [locked.port, /set GENGATE_API_KEYS/],
  ]
  for (const [port, words] of table) {
    const env = { GENGATE_PORT: String(port), GENGATE_API_KEYS: key }
    const { code, out, err } = await gengate('status', env)
    t.same([code, out], [1, ''])
    t.match(err, words)
    t.notMatch(err, key)
  }
  t.equal(locked.seen[0]?.authorization, `Bearer ${key}`)
})
