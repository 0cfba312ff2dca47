import t from 'tap'
import { processLine, statusLines, tailLines } from '../../../src/cli/commands/status.ts'
import {
  type EngineStatus,
  type GateStatus,
  parseGateStatus,
  servableOf,
  tableOf,
} from '../../../src/cli/gate-status.ts'
import { servesOf } from '../../../src/core/route.ts'
import { gengate } from '../recorded-io.ts'
import { jsonServer } from '../json-server.ts'

// Rows of docs/faults.md that are shown here: run-hopeless.

const NOW = Date.UTC(2026, 0, 1, 12, 0, 30)

const ROW = { name: 'vllm_cpu', eligible: true, state: 'eligible', reason: 'ok', in_flight: 3 }
const row = (more: object = {}) => ({
  ...ROW,
  since: '2026-01-01T12:00:00.000Z',
  hint: 'A probe generated a token.',
  models: ['tiny'],
  ...more,
})

/** A document as a gate's of ours is read. */
function read(document: object): GateStatus {
  const status = parseGateStatus(document)
  if (status === null) throw new Error('no status')
  return status
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

t.test('statusLines() is a table with a hint under what is not eligible', async (t) => {
  const refused = { eligible: false, state: 'ejected', reason: 'refused', since: null }
  const more = { hint: 'Start the engine.', models: ['a', 'b', 'c', 'd'] }
  const status = read({
    ...documentOf(row(), row({ name: 'ollama', ...refused, ...more })),
    config: { ok: false, error: 'GENGATE_PORT is wrong', shadowed: ['GENGATE_HOLD_MS'] },
  })
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
  const cold = { ...no, state: 'cold', reason: 'model_not_loaded' }
  const unproven = { ...no, state: 'unknown', reason: 'not_probed_yet' }
  const table: [row: object, code: number][] = [
    [{}, 0],
    [{ ...no, state: 'suspect', reason: 'silent' }, 0],
    [cold, 0],
    [{ ...cold, cold: 'never' }, 1],
    [{ ...cold, models: [], models_listed: true }, 1],
    [{ ...cold, loads_nothing: true }, 1],
    [unproven, 1],
    [{ ...unproven, probe: 'passive' }, 0],
    [{ ...no, state: 'ejected', reason: 'wedged' }, 1],
    [{ ...no, state: 'draining', reason: 'draining', intent: 'draining' }, 1],
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
    [other.port, /Something other than gengate/],
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

const WALL = Date.parse('2026-11-24T12:00:00.000Z')
const PROCESS = {
  state: 'backing_off',
  since: '2026-11-24T11:59:50.000Z',
  pid: null,
  program: 'llama-server',
  on_demand: false,
  start_on_demand: false,
  restarts: 3,
  restarts_last_hour: 2,
  last_end: { reason: 'wedged', at: '2026-11-24T11:59:50.000Z', how: 'SIGKILL' },
  next_start_at: '2026-11-24T12:00:08.000Z',
  log: '/state/a.log',
  note: '',
}
const parsed = (over: object = {}): EngineStatus => {
  const [first] = read(documentOf(row({ process: { ...PROCESS, ...over } }))).upstreams
  const engine = first?.process
  if (engine === null || engine === undefined) throw new Error('no process')
  return engine
}

t.test('processLine() says what the engine does, why, and what comes next', async (t) => {
  t.equal(
    processLine(parsed(), WALL),
    'engine backing off for 10 s; next start in 8 s; 3 restarts; 2 failures in the last hour; last end 10 s ago: wedged (SIGKILL)',
  )
  const never = { restarts: 0, restarts_last_hour: 0, last_end: null, next_start_at: null }
  const well = { ...never, state: 'running', pid: 42, note: 'x' }
  t.equal(processLine(parsed(well), WALL), 'engine running for 10 s; llama-server, pid 42; x')
  const first = processLine(parsed({ ...well, restarts_last_hour: 1 }), WALL)
  t.match(first, /pid 42; 1 failure in the last hour; x$/, 'before its restart')
  const wanted = processLine(parsed({ ...well, restarts: 1 }), WALL)
  t.match(wanted, /pid 42; 1 restart; x$/, 'by a changed line')
})

t.test('tailLines() shows the end of the file without its colours', async (t) => {
  const text = `${'old\n'.repeat(20)}\u001B[31mred\u001B[0m\tand so on\r\n\n${'x'.repeat(500)}\n`
  const lines = tailLines(parsed(), 'vllm', (path) => (path === '/state/a.log' ? text : null))
  t.equal(lines[0], '  the end of /state/a.log:')
  t.equal(lines.length, 11)
  t.equal(lines[9], '  | red and so on')
  t.equal(lines[10]?.length, 4 + 200)
  const unread = tailLines(parsed(), 'vllm', () => null)
  t.same(unread, ['  /state/a.log cannot be read here'])
  const none = tailLines(parsed({ log: null }), 'vllm', () => 'x')
  t.same(none, [])
})

t.test('tailLines() says what to do about an engine that died', async (t) => {
  const text = 'error: invalid argument: --bogus\n'
  const died = { last_end: { reason: 'exited', at: null, how: 'exit code 1' } }
  const hintOf = (over: object, kind: string): string =>
    tailLines(parsed(over), kind, () => text).filter((line) => line.startsWith('  Hint: '))[0] ?? ''
  t.match(hintOf(died, 'llamacpp'), 'this llama-server does not know --bogus')
  t.equal(hintOf(died, 'vllm'), '', 'those words are of another engine')
  t.equal(hintOf({ ...died, pid: 7 }, 'llamacpp'), '', 'it runs again')
  t.equal(hintOf({}, 'llamacpp'), '', 'the gate itself ended it')
})

t.test('statusLines() shows an engine below its upstream; one that waits serves', async (t) => {
  const upstream = { name: 'a', state: 'starting', reason: 'loading', hint: 'It loads.' }
  const process = { ...PROCESS, state: 'starting', start_on_demand: true }
  const status = read(documentOf({ ...upstream, process }))
  const tails = new Map([['a', ['  | last words']]])
  const lines = statusLines(status, WALL, { meant: new Map(), tails })
  t.match(lines[3], 'It loads.')
  t.match(lines[4], /^ {2}engine starting for 10 s/)
  t.equal(lines[5], '  | last words')
  t.ok(servableOf(status).has('a'))
  t.equal(tableOf(status).entries.map((entry) => servesOf(entry))[0], 'on_demand')
})
