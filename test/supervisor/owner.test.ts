import t, { type Test } from 'tap'
import type { GateEvent } from '../../src/core/event.ts'
import type { Evidence } from '../../src/core/health/evidence.ts'
import { shownReason } from '../../src/core/table.ts'
import { TableStore } from '../../src/state/table-store.ts'
import { GRACE_MS } from '../../src/supervisor/decide.ts'
import { RESTARTS_MAX } from '../../src/supervisor/book.ts'
import { Supervisor } from '../../src/supervisor/supervisor.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { spec, tableConfig } from '../support/world.ts'
import { FakeMachine } from './fake-machine.ts'
import { plan } from './situation.ts'
import type { Plan } from '../../src/supervisor/machine.ts'

// Rows of docs/faults.md that are shown here: run-hopeless.

/** A clock whose timers can come late, as when our event loop stands still. */
class LateClock extends VirtualClock {
  lateMs = 0

  override after(delayMs: number, task: () => void): () => void {
    return super.after(delayMs + this.lateMs, task)
  }
}

/** The real supervisor over a real table, on a clock and a machine that do what they are told. */
class Bench {
  readonly clock = new LateClock()
  readonly machine = new FakeMachine(this.clock)
  readonly events: Extract<GateEvent, { type: 'engine_process' }>[] = []
  readonly store = new TableStore(tableConfig({ specs: [spec()] }), () => this.clock.nowMs())
  readonly flight = { count: 0 }
  observe: (event: GateEvent) => void = () => {}
  readonly supervisor = new Supervisor({
    store: this.store,
    clock: this.clock,
    random: () => 0.5,
    emit: (event) => {
      if (event.type === 'engine_process') this.events.push(event)
    },
    inFlight: () => this.flight.count,
    drainMs: () => 30_000,
    machine: this.machine,
    listen: (observe) => (this.observe = observe),
  })

  get steps(): string[] {
    return this.events.map(({ step, cause }) => (cause === null ? step : `${step} ${cause}`))
  }

  get status() {
    return this.supervisor.statusOf('a')
  }

  advance(ms: number): Promise<void> {
    return this.clock.advance(ms)
  }

  get entry() {
    const [entry] = this.store.current.entries
    if (entry === undefined) throw new Error('no entry')
    return entry
  }

  tell(evidence: Evidence): void {
    this.store.apply({ type: 'evidence', name: 'a', epoch: this.entry.epoch, evidence })
  }

  pass(): void {
    this.tell({ type: 'probe_sent', at: this.clock.nowMs() })
    const outcome = { kind: 'pass', latencyMs: 1, tokens: 1 } as const
    this.tell({ type: 'probe_ended', at: this.clock.nowMs(), outcome })
  }

  fail(reason: 'http_5xx' | 'bad_request'): void {
    const outcome = { kind: 'fail', reason, detail: '' } as const
    this.tell({ type: 'probe_ended', at: this.clock.nowMs(), outcome })
  }

  want(): void {
    this.tell({ type: 'wanted', at: this.clock.nowMs() })
  }

  async close(t: Test): Promise<void> {
    const stopped = this.supervisor.stop()
    await this.clock.advance(20_000)
    await stopped
    t.equal(this.machine.running, 0, 'no process is left')
    t.equal(this.clock.pending, 0, 'no timer is left')
  }
}

const PLAIN = plan()
const ON_DEMAND = plan({ idleStopMs: 60_000 })

/** A test over an engine with this plan that must leave nothing behind. */
function scene(name: string, one: Plan, body: (t: Test, bench: Bench) => Promise<void>): void {
  t.test(name, async (t) => {
    const bench = new Bench()
    bench.supervisor.configure([one])
    await body(t, bench)
    await bench.close(t)
  })
}

scene('a crash loop is put off longer each time', PLAIN, async (t, bench) => {
  const waits: number[] = []
  for (let i = 0; i < RESTARTS_MAX; i++) {
    await bench.advance(0)
    const endedAt = bench.clock.nowMs()
    bench.machine.last.die()
    await bench.advance(400_000)
    waits.push(Math.round((bench.machine.last.startedAt - endedAt) / 1_000))
    t.equal(bench.machine.starts.length, i + 2, 'one start each')
    // The loop is faster than the hour: what the clock was moved beyond is idle time.
    if (i < RESTARTS_MAX - 1) t.equal(bench.status?.state, 'starting')
  }
  t.same(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300])
})

scene(
  'an engine that ends too often in an hour stays down until a reload',
  PLAIN,
  async (t, bench) => {
    for (let i = 0; i <= RESTARTS_MAX; i++) {
      await bench.advance(301_000)
      if (bench.machine.running > 0) bench.machine.last.die('exit code 3', 'CUDA out of memory')
    }
    t.equal(bench.machine.starts.length, RESTARTS_MAX + 1)
    await bench.advance(10 * 3_600_000)
    t.equal(bench.machine.starts.length, RESTARTS_MAX + 1, 'nothing more, for hours')
    t.equal(bench.clock.pending, 0, 'and nothing ticks')
    const status = bench.status
    t.match(status, {
      state: 'gave_up',
      pid: null,
      note: /SIGHUP/,
      lastEnd: { cause: 'exited', how: 'exit code 3' },
      log: '/state/a.log',
    })
    t.match(bench.events.at(-1), { step: 'gave_up', text: /stays down/ })
    t.match(bench.events.at(-2), {
      step: 'died',
      text: 'exit code 3; its last line: CUDA out of memory',
    })
    bench.supervisor.configure([plan()])
    await bench.advance(0)
    t.equal(bench.machine.starts.length, RESTARTS_MAX + 2, 'a reload starts it again')
    t.ok(bench.steps.includes('resumed'))
  },
)

t.test('SIGTERM, after the grace SIGKILL; the first generation ends a start', async (t) => {
  const bench = new Bench()
  bench.machine.termMs = null
  bench.supervisor.configure([plan()])
  await bench.advance(1_000)
  t.equal(bench.entry.reason, 'loading')
  t.equal(bench.status?.state, 'starting')
  bench.pass()
  await bench.advance(1_000)
  t.equal(bench.status?.state, 'running')
  bench.fail('http_5xx')
  await bench.advance(60_000)
  t.same(bench.machine.signals, ['SIGTERM'])
  await bench.advance(GRACE_MS - 1_000)
  t.same(bench.machine.signals, ['SIGTERM'])
  await bench.advance(1_500)
  t.same(bench.machine.signals, ['SIGTERM', 'SIGKILL'])
  await bench.advance(2_000)
  t.equal(bench.machine.starts.length, 2)
  t.equal(bench.entry.reason, 'loading', 'not eligible yet')
  bench.pass()
  t.equal(bench.entry.reason, 'ok')
  await bench.advance(500)
  t.same(bench.steps, [
    'started',
    'generated',
    'terminated http_5xx',
    'killed http_5xx',
    'ended http_5xx',
    'started http_5xx',
    'generated',
  ])
  await bench.close(t)
})

scene('after our own stall what came meanwhile is heard first', PLAIN, async (t, bench) => {
  await bench.advance(0)
  bench.fail('http_5xx')
  await bench.advance(50_000)
  bench.clock.lateMs = 30_000
  await bench.advance(600)
  bench.clock.lateMs = 0
  // The look that was planned for 51 s comes at 81 s.
  await bench.advance(30_600)
  t.same(bench.machine.signals, [], 'the verdict is old enough, but nobody listened')
  bench.pass()
  await bench.advance(60_000)
  t.same(bench.machine.signals, [])
})

scene('a misconfigured engine is left alone for hours', PLAIN, async (t, bench) => {
  await bench.advance(0)
  bench.fail('bad_request')
  await bench.advance(3 * 3_600_000)
  t.equal(bench.machine.starts.length, 1)
})

scene('a changed command line is followed when what runs has finished', PLAIN, async (t, bench) => {
  await bench.advance(0)
  bench.pass()
  bench.flight.count = 1
  const changed = plan({ line: { command: 'other', args: [], env: {} } })
  bench.supervisor.configure([changed])
  t.equal(shownReason(bench.entry), 'draining', 'new requests go elsewhere')
  await bench.advance(5_000)
  t.same(bench.machine.signals, [])
  bench.flight.count = 0
  await bench.advance(2_000)
  t.same(bench.machine.signals, ['SIGTERM'])
  await bench.advance(2_000)
  t.equal(bench.machine.last.plan.line.command, 'other')
  t.equal(bench.status?.restarts, 1)
  bench.pass()
  await bench.advance(500)
  bench.supervisor.configure([{ ...changed }])
  await bench.advance(60_000)
  t.equal(bench.machine.starts.length, 2, 'the same line again changes nothing')
})

t.test('an engine that is owned no longer, or disabled, is ended and not started', async (t) => {
  for (const plans of [[], [plan({ intent: 'disabled' })]]) {
    const bench = new Bench()
    bench.supervisor.configure(plans)
    await bench.advance(5_000)
    t.equal(bench.machine.starts.length, 0, 'never started')
    bench.supervisor.configure([plan()])
    await bench.advance(1_000)
    t.equal(bench.machine.running, 1)
    bench.supervisor.configure(plans)
    await bench.advance(60_000)
    t.equal(bench.machine.running, 0)
    t.equal(bench.machine.starts.length, 1)
    t.equal(bench.entry.facts.process, null, 'the table knows')
    t.equal(bench.status?.state ?? null, plans.length === 0 ? null : 'stopped')
    await bench.close(t)
  }
})

scene(
  'an upstream that the operator drains is neither started nor ended',
  PLAIN,
  async (t, bench) => {
    await bench.advance(1_000)
    bench.supervisor.configure([plan({ intent: 'draining' })])
    bench.fail('http_5xx')
    await bench.advance(600_000)
    t.equal(bench.machine.running, 1)
    bench.machine.last.die()
    await bench.advance(600_000)
    t.equal(bench.machine.running, 0)
  },
)

t.test('it waits for a lock, and leaves alone what others run on the port', async (t) => {
  const bench = new Bench()
  bench.machine.block = { kind: 'lock', text: 'pid 7 has not ended yet' }
  bench.supervisor.configure([plan()])
  await bench.advance(10_000)
  t.equal(bench.machine.starts.length, 0)
  t.match(bench.status, { state: 'blocked', note: 'pid 7 has not ended yet' })
  t.same(bench.steps, ['blocked'], 'told once')
  bench.machine.block = { kind: 'port', text: 'something answers' }
  await bench.advance(10_000)
  bench.pass()
  t.equal(bench.entry.reason, 'ok', 'it is judged like any other')
  bench.machine.block = null
  await bench.advance(6_000)
  t.equal(bench.machine.starts.length, 1)
  await bench.close(t)
})

scene(
  'on demand: one start for many requests, none without, and a stop when idle',
  ON_DEMAND,
  async (t, bench) => {
    await bench.advance(600_000)
    t.equal(bench.machine.starts.length, 0)
    t.equal(bench.entry.reason, 'model_not_loaded')
    t.equal(bench.status?.state, 'asleep')
    bench.want()
    bench.want()
    await bench.advance(1_000)
    bench.want()
    await bench.advance(100_000)
    t.equal(bench.machine.starts.length, 1, 'and it is not stopped while it starts')
    bench.pass()
    bench.flight.count = 1
    await bench.advance(600_000)
    t.equal(bench.machine.running, 1, 'never with something in flight')
    bench.flight.count = 0
    bench.observe({ type: 'exchange_ended', upstream: 'a' } as GateEvent)
    await bench.advance(50_000)
    bench.pass()
    await bench.advance(9_000)
    t.equal(bench.machine.running, 1)
    await bench.advance(3_000)
    t.equal(bench.machine.running, 0, 'a probe is no traffic')
    t.equal(bench.entry.reason, 'model_not_loaded')
    t.equal(bench.status?.restarts, 0)
  },
)

scene(
  'on demand: a request that comes while it is being stopped starts it again',
  ON_DEMAND,
  async (t, bench) => {
    bench.want()
    await bench.advance(0)
    bench.pass()
    await bench.advance(60_500)
    t.same(bench.machine.signals, ['SIGTERM'])
    bench.want()
    await bench.advance(1_500)
    t.equal(bench.machine.starts.length, 2)
    t.ok((bench.machine.starts[1]?.startedAt ?? 0) >= 61_000, 'the old one has ended before')
  },
)

scene(
  'on demand: a start that fails is not repeated until somebody asks again',
  ON_DEMAND,
  async (t, bench) => {
    bench.want()
    await bench.advance(0)
    bench.machine.last.die()
    t.equal(bench.entry.reason, 'refused')
    const lastWords = { state: 'backing_off', pid: null, log: '/state/a.log' }
    t.match(bench.status, lastWords)
    await bench.advance(600_000)
    t.equal(bench.machine.starts.length, 1)
    t.equal(bench.status?.state, 'asleep')
    bench.want()
    await bench.advance(0)
    t.equal(bench.machine.starts.length, 2)
  },
)

scene('another address is another server: all is told again', ON_DEMAND, async (t, bench) => {
  const config = tableConfig({ specs: [spec({ url: 'http://127.0.0.1:99' })] })
  bench.store.apply({ type: 'configured', at: bench.clock.nowMs(), config })
  t.equal(bench.entry.reason, 'model_not_loaded')
})

t.test('stop() ends what runs and starts nothing more', async (t) => {
  const bench = new Bench()
  bench.machine.termMs = null
  bench.supervisor.configure([plan()])
  await bench.advance(1_000)
  await bench.close(t)
  t.same(bench.machine.signals, ['SIGTERM', 'SIGKILL'])
  t.same(bench.steps.slice(-3), ['terminated shutdown', 'killed shutdown', 'ended shutdown'])
  bench.supervisor.configure([plan()])
  await bench.advance(60_000)
  t.equal(bench.machine.starts.length, 1)
})

scene('status() shows no part of the command line but the program', PLAIN, async (t, bench) => {
  await bench.advance(1_000)
  t.match(bench.status, { program: 'engine', pid: 1_000, onDemand: false })
  t.notMatch(JSON.stringify([bench.status, bench.events]), /sk-secret/)
})

scene(
  'an engine that dies twice in the same way before it generates is told',
  PLAIN,
  async (t, bench) => {
    const die = async (how: string, lastLine: string): Promise<string> => {
      await bench.advance(60_000)
      bench.machine.last.die(how, lastLine)
      return bench.status?.note ?? ''
    }
    t.equal(await die('exit code 1', 'pid 41: no --bogus'), '')
    const note = await die('exit code 1', 'pid 42: no --bogus')
    t.match(note, /^it ended 2 times in a row in the same way, .*gengate status --verbose/)
    t.notMatch(note, /bogus/, 'its words may hold secrets')
    t.equal(bench.status?.state, 'backing_off', 'it is tried again, later')
    t.match(await die('exit code 1', 'pid 43: no --bogus'), 'it ended 3 times')
    t.equal(await die('exit code 2', 'pid 44: no --bogus'), '', 'another way')
    await bench.advance(60_000)
    bench.pass()
    t.equal(await die('exit code 2', 'pid 45: no --bogus'), '', 'it has generated')
  },
)
