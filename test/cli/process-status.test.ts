import t from 'tap'
import { isServable, parseGateStatus } from '../../src/cli/gate-status.ts'
import { tableOf } from '../../src/cli/gate-table.ts'
import {
  type EngineStatus,
  parseProcess,
  processLine,
  tailLines,
} from '../../src/cli/process-status.ts'
import { statusLines } from '../../src/cli/commands/status.ts'
import { servesOf } from '../../src/core/entry.ts'

const WALL = Date.parse('2026-11-24T12:00:00.000Z')
const DOCUMENT = {
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
  const engine = parseProcess({ ...DOCUMENT, ...over })
  if (engine === null) throw new Error('no process')
  return engine
}

t.test('processLine() says what the engine does, why, and what comes next', async (t) => {
  t.equal(
    processLine(parsed(), WALL),
    'engine backing off for 10 s; next start in 8 s; 3 restarts; 2 failures in the last hour; last end 10 s ago: wedged (SIGKILL)',
  )
  const well = {
    state: 'running',
    pid: 42,
    restarts: 0,
    restarts_last_hour: 0,
    last_end: null,
    next_start_at: null,
    note: 'x',
  }
  t.equal(processLine(parsed(well), WALL), 'engine running for 10 s; llama-server, pid 42; x')
  const first = processLine(parsed({ ...well, restarts_last_hour: 1 }), WALL)
  t.match(first, /pid 42; 1 failure in the last hour; x$/, 'before its restart')
  const wanted = processLine(parsed({ ...well, restarts: 1 }), WALL)
  t.match(wanted, /pid 42; 1 restart; x$/, 'by a changed line')
})

t.test('parseProcess() takes what is there, and null where the gate owns nothing', async (t) => {
  t.equal(parseProcess(null), null)
  t.equal(parseProcess({ pid: 3 }), null)
  t.match(parseProcess({ state: 'asleep', last_end: {} }), {
    program: '',
    restarts: 0,
    lastEnd: null,
    log: null,
  })
})

t.test('tailLines() shows the end of the file without its colours', async (t) => {
  const text = `${'old\n'.repeat(20)}\u001B[31mred\u001B[0m\tand so on\r\n\n${'x'.repeat(500)}\n`
  const lines = tailLines(parsed(), 'vllm', (path) => (path === '/state/a.log' ? text : null))
  t.equal(lines[0], '  the end of /state/a.log:')
  t.equal(lines.length, 11)
  t.equal(lines[9], '  | red and so on')
  t.equal(lines[10]?.length, 4 + 200)
  t.same(
    tailLines(parsed(), 'vllm', () => null),
    ['  /state/a.log cannot be read here'],
  )
  t.same(
    tailLines(parsed({ log: null }), 'vllm', () => 'x'),
    [],
  )
})

t.test('tailLines() says what to do about an engine that died', async (t) => {
  const text = 'error: invalid argument: --bogus\n'
  const died = { last_end: { reason: 'exited', at: null, how: 'exit code 1' } }
  const hintOf = (over: object, kind: string): string =>
    tailLines(parsed(over), kind, () => text).filter((line) => line.startsWith('  Hint: '))[0] ?? ''
  t.match(hintOf(died, 'llamacpp'), 'this llama-server has no --bogus')
  t.equal(hintOf(died, 'vllm'), '', 'those words are of another engine')
  t.equal(hintOf({ ...died, pid: 7 }, 'llamacpp'), '', 'it runs again')
  t.equal(hintOf({}, 'llamacpp'), '', 'the gate itself ended it')
})

t.test(
  'statusLines() shows the engine below its upstream; one that a request starts is servable',
  async (t) => {
    const upstream = {
      name: 'a',
      eligible: false,
      state: 'starting',
      reason: 'loading',
      hint: 'It loads.',
    }
    const status = parseGateStatus({
      version: '1',
      uptime_s: 1,
      upstreams: [
        { ...upstream, process: { ...DOCUMENT, state: 'starting', start_on_demand: true } },
      ],
    })
    if (status === null) throw new Error('no status')
    const lines = statusLines(status, WALL, () => ['  | last words'])
    t.match(lines[3], 'It loads.')
    t.match(lines[4], /^ {2}engine starting for 10 s/)
    t.equal(lines[5], '  | last words')
    t.ok(status.upstreams.every(isServable))
    t.equal(tableOf(status).entries.map((entry) => servesOf(entry))[0], 'on_demand')
  },
)
