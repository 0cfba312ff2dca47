import t from 'tap'
import type { GateEvent } from '../../src/core/event.ts'
import type { ChildEnd } from '../../src/process/child.ts'
import type { EngineProcess, Machine } from '../../src/supervisor/machine.ts'
import { Supervisor } from '../../src/supervisor/supervisor.ts'
import { endOf } from '../supervisor/fake-machine.ts'
import { plan } from '../supervisor/situation.ts'
import { Chance } from '../support/sim-chance.ts'
import type { EngineTraits, Fault } from '../support/sim-engine.ts'
import { ORDINARY, SMALL, SimWorld } from '../support/sim-world.ts'
import { spec, tableConfig } from '../support/world.ts'

// Goal: the supervisor restarts a wedge once and soon, and never what only looks like one.
// Method: the real table, prober and supervisor over a simulated engine; busy for an hour of
// virtual time and each fault for twenty minutes, under traffic, with several seeds.

const HOUR = 3_600_000
/** Long enough for every other fault. */
const A_WHILE = 1_200_000
const SEEDS = 2
/** From exec to the first answer, ms. */
const LOAD_MS = 20_000

/** A simulated machine: a start replaces the engine's process, whose fault goes with it. */
class SimMachine implements Machine {
  starts = 0
  /** What a process that is started is like when it has loaded. */
  afterStart: Fault = 'none'
  readonly #world: SimWorld

  constructor(world: SimWorld) {
    this.#world = world
    world.become('a', 'refused')
  }

  async blockedBy(): Promise<null> {
    return null
  }

  release(): void {}

  start(_plan: unknown, onExit: (end: ChildEnd) => void): EngineProcess {
    this.starts++
    const world = this.#world
    let over = false
    const end = (how: string): void => {
      if (over) return
      over = true
      world.become('a', 'refused')
      world.clock.io(() => onExit(endOf(how)))
    }
    world.become('a', 'loading')
    world.clock.world(LOAD_MS, () => {
      if (over) return
      if (this.afterStart === 'refused') end('exit code 1')
      else world.become('a', this.afterStart, true)
    })
    const signal = (name: 'SIGTERM' | 'SIGKILL'): void => {
      world.clock.world(name === 'SIGKILL' ? 1 : 2_000, () => end(name))
    }
    return { pid: this.starts, log: null, signal }
  }
}

/** One world with its supervisor, an hour of traffic, and what was done to the engine. */
async function live(
  seed: number,
  happens: (world: SimWorld, machine: SimMachine) => void,
  {
    traits = ORDINARY,
    untilMs = A_WHILE,
    idleStopMs = null,
  }: { traits?: EngineTraits; untilMs?: number; idleStopMs?: number | null } = {},
) {
  const world = new SimWorld(new Chance(seed), tableConfig({ specs: [spec({ name: 'a' })] }), {
    a: traits,
  })
  const machine = new SimMachine(world)
  const events: Extract<GateEvent, { type: 'engine_process' }>[] = []
  const supervisor = new Supervisor({
    store: world.store,
    clock: world.clock,
    random: world.chance.next,
    listen: () => {},
    emit: (event) => {
      if (event.type === 'engine_process') events.push(event)
    },
    inFlight: (name) =>
      world.store.current.entries.find(({ spec: s }) => s.name === name)?.facts.flight.inFlight ??
      0,
    drainMs: () => 30_000,
    machine,
  })
  supervisor.configure([plan({ name: 'a', idleStopMs })])
  happens(world, machine)
  await world.run(untilMs)
  const state = world.state('a')
  const stopped = supervisor.stop()
  await world.run(untilMs + 60_000)
  await stopped
  await world.close()
  return { machine, events, state, done: world.done }
}

const ask = (world: SimWorld): void =>
  world.traffic(
    () => 4_000,
    A_WHILE - 60_000,
    () => SMALL,
  )

t.test('an engine that is busy for an hour is never restarted', async (t) => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    // One slot, and always more asked of it than it can do.
    const slow = { ...ORDINARY, slots: 1, itlMs: 200 }
    const { machine, done } = await live(
      seed,
      (world) =>
        world.traffic(
          () => 5_000,
          HOUR - 120_000,
          () => ({ ...SMALL, tokens: 100, patienceMs: 60_000 }),
        ),
      { traits: slow, untilMs: HOUR },
    )
    t.equal(machine.starts, 1, `seed ${seed}`)
    t.ok(done.filter(({ ending }) => ending === 'finished').length > 50, 'it did answer')
  }
})

t.test('a wedge is mended by one restart', async (t) => {
  for (const fault of ['silent', 'one_token', 'slow_wedge'] as const) {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { machine, events, state } = await live(seed, (world) => {
        ask(world)
        world.at(300_000, () => world.become('a', fault))
      })
      const restart = events.filter(({ step, cause }) => step === 'started' && cause !== null)
      if (fault === 'slow_wedge') {
        // It answers every probe, so only live requests suffer: suspect, and never proven.
        t.equal(machine.starts, 1, `${fault}, seed ${seed}: doubt is no proof`)
        continue
      }
      t.equal(machine.starts, 2, `${fault}, seed ${seed}: one restart`)
      t.same(
        restart.map(({ cause }) => cause),
        ['wedged'],
      )
      t.match(state, /^(ok|ok_by_traffic|busy)$/, 'and it serves')
    }
  }
})

t.test('an engine that freezes for some seconds and thaws is left alone', async (t) => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { machine } = await live(seed, (world) => {
      ask(world)
      for (let at = 300_000; at < A_WHILE - 200_000; at += 300_000) {
        world.at(at, () => world.become('a', 'silent'))
        world.at(at + 12_000, () => world.become('a', 'none'))
      }
    })
    t.equal(machine.starts, 1, `seed ${seed}`)
  }
})

t.test('our own stalls and a machine that sleeps restart nothing', async (t) => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { machine } = await live(seed, (world) => {
      ask(world)
      for (let at = 300_000; at < A_WHILE - 200_000; at += 100_000)
        world.at(at, () => world.stall(40_000))
      world.at(450_000, () => world.sleep(300_000, true))
    })
    t.equal(machine.starts, 1, `seed ${seed}`)
  }
})

t.test(
  'an engine that thaws while we stand still is left alone: its answer is heard first',
  async (t) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { machine } = await live(seed, (world) => {
        ask(world)
        for (let at = 300_000; at < A_WHILE - 200_000; at += 300_000) {
          world.at(at, () => world.become('a', 'silent'))
          world.at(at + 14_000, () => world.stall(30_000))
          world.at(at + 15_000, () => world.become('a', 'none'))
        }
      })
      t.equal(machine.starts, 1, `seed ${seed}`)
    }
  },
)

t.test('an engine that sleeps is started by the request that needs it, which waits', async (t) => {
  const { machine, done } = await live(
    1,
    (world) => {
      for (const atMs of [100_000, 101_000, 600_000]) {
        world.at(atMs, () => world.clock.io(() => world.ask({ ...SMALL, patienceMs: 100_000 })))
      }
    },
    { idleStopMs: 60_000 },
  )
  t.equal(machine.starts, 2, 'once for the two that came together')
  t.strictSame(
    done.map(({ ending }) => ending),
    ['finished', 'finished', 'finished'],
  )
})

t.test('a crash loop is slowed down and ends at the cap', async (t) => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { machine, events } = await live(seed, (world, loop) => {
      loop.afterStart = 'refused'
      ask(world)
    })
    t.equal(machine.starts, 11, `seed ${seed}: ten restarts`)
    t.equal(events.filter(({ step }) => step === 'gave_up').length, 1)
  }
})

t.test(
  'one that only answers with errors is restarted, and not more often than the cap',
  async (t) => {
    const { machine, events } = await live(1, (world, broken) => {
      broken.afterStart = 'http_5xx'
      ask(world)
    })
    t.ok(machine.starts > 3 && machine.starts <= 11, `${machine.starts} starts`)
    t.same(
      new Set(events.filter(({ step }) => step === 'ended').map(({ cause }) => cause)),
      new Set(['http_5xx']),
    )
  },
)
