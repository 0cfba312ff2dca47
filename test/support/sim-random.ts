import type { UpstreamSpec } from '../../src/core/upstream.ts'
import { Chance } from './sim-chance.ts'
import type { Engine, EngineTraits, Fault } from './sim-engine.ts'
import type { SimRequest } from './sim-plane.ts'
import { ORDINARY, SimWorld } from './sim-world.ts'
import { spec, tableConfig } from './world.ts'

/** Faults begin before this; then everybody is healthy and only light traffic goes on, ms. */
export const FAULTS_UNTIL_MS = 150_000
const FAULTS: readonly Fault[] = [
  'silent',
  'one_token',
  'two_tokens',
  'slow_wedge',
  'busy_wedge',
  'refused',
  'gone',
  'closing',
  'unreachable',
  'http_5xx',
  'live_5xx',
  'error_body',
  'truncating',
  'reset',
  'loading',
]

/** What an upstream may be: its configuration and its engine. */
interface Kind {
  readonly spec: Partial<UpstreamSpec>
  readonly traits: (chance: Chance) => EngineTraits
}

const KINDS: readonly Kind[] = [
  // A GPU server with room for all.
  { spec: {}, traits: () => ({ ...ORDINARY, slots: 256, itlMs: 30 }) },
  // One slot, which a single long answer fills.
  { spec: {}, traits: (chance) => ({ ...ORDINARY, slots: 1, itlMs: chance.between(40, 120) }) },
  // Two cores: a long prompt takes 20 s, a token a third of a second.
  {
    spec: {},
    traits: () => ({ ...ORDINARY, slots: 4, prefillBytesPerS: 800, baseMs: 150, itlMs: 300 }),
  },
  // It refuses for load what it cannot take.
  {
    spec: { engine: 'llamacpp' },
    traits: (chance) => ({ ...ORDINARY, slots: 2, queueMax: chance.whole(0, 3) }),
  },
  // It loads on demand and forgets.
  {
    spec: { engine: 'ollama', model: 'm', quietIntervalMs: 330_000 },
    traits: (chance) => ({
      ...ORDINARY,
      slots: 2,
      loadMs: chance.between(3_000, 20_000),
      keepMs: chance.between(20_000, 300_000),
    }),
  },
]

/** A whole world from one number: upstreams, clients, faults, and what happens to ourselves. Each
 *  world leaves out a random part of the faults (swarm testing), since some hide others. */
export function randomWorld(seed: number): SimWorld {
  const chance = new Chance(seed)
  const names = ['a', 'b', 'c', 'd'].slice(0, chance.pick([1, 2, 2, 2, 3, 4]))
  const kinds = names.map(() => chance.pick(KINDS))
  const specs = names.map((name, i) =>
    spec({ name, url: `http://127.0.0.1:${i + 1}`, ...kinds[i]?.spec }),
  )
  const traits = Object.fromEntries(
    names.map((name, i) => [name, kinds[i]?.traits(chance) ?? ORDINARY]),
  )
  const routing = chance.often(0.3) ? 'least_busy' : 'priority'
  const world = new SimWorld(chance, tableConfig({ specs, routing }), traits)
  addClients(world)
  if (chance.often(0.85)) for (const one of world.engines.values()) addFaults(world, one)
  if (chance.often(0.3)) addDisturbances(world)
  if (chance.often(0.3)) addFlips(world, specs)
  world.at(FAULTS_UNTIL_MS, () => {
    world.clock.io(() => world.configure(specs))
    for (const engine of world.engines.values()) engine.become('none')
  })
  return world
}

function addClients(world: SimWorld): void {
  const { chance } = world
  const meanMs = chance.pick([300, 800, 2_000, 8_000, 60_000])
  const bigShare = chance.pick([0, 0, 0.05, 0.2])
  const unaryShare = chance.pick([0, 0.1, 0.5])
  const longest = chance.pick([20, 100, 400])
  const request = (): SimRequest => {
    const isBig = chance.often(bigShare)
    const streamed = !chance.often(unaryShare)
    const tokens = chance.whole(3, streamed ? longest : 100)
    return {
      bytes: Math.round(isBig ? chance.between(8_000, 16_000) : chance.between(200, 1_500)),
      tokens,
      streamed,
      maxTokens: chance.often(0.7) ? tokens : null,
      patienceMs: chance.between(20_000, 120_000),
    }
  }
  world.traffic(
    () => (world.clock.nowMs() < FAULTS_UNTIL_MS ? meanMs : Math.max(meanMs, 3_000)),
    Infinity,
    request,
  )
}

function addFaults(world: SimWorld, engine: Engine): void {
  const { chance } = world
  const allowed = FAULTS.filter(() => chance.often(0.4))
  if (allowed.length === 0) return
  const flaps = chance.often(0.2)
  const next = (fromMs: number): void => {
    const at = fromMs + chance.gap(flaps ? 8_000 : 50_000)
    const until = at + (flaps ? chance.between(1_000, 6_000) : chance.between(3_000, 60_000))
    if (at >= FAULTS_UNTIL_MS) return
    world.at(at, () => engine.become(chance.pick(allowed)))
    world.at(Math.min(until, FAULTS_UNTIL_MS), () => {
      engine.become('none', chance.often(0.3))
    })
    next(until)
  }
  next(chance.often(0.2) ? -8_000 : 5_000)
}

/** Our own machine: a stalled event loop, sleep. */
function addDisturbances(world: SimWorld): void {
  const { chance } = world
  for (let at = chance.gap(30_000); at < FAULTS_UNTIL_MS; at += chance.gap(30_000)) {
    world.at(at, () => {
      const ms = chance.pick([300, 800, 3_000, 20_000])
      if (chance.often(0.6)) world.stall(ms)
      else world.sleep(ms * 100, chance.often(0.5))
    })
  }
}

/** The operator: drains, disables, moves and removes. */
function addFlips(world: SimWorld, specs: readonly UpstreamSpec[]): void {
  const { chance } = world
  for (let at = chance.gap(20_000); at < FAULTS_UNTIL_MS; at += chance.gap(20_000)) {
    world.at(at, () => {
      const flipped = specs
        .filter(() => chance.often(0.85))
        .map((one) => {
          const intent = chance.pick(['enabled', 'enabled', 'draining', 'disabled'] as const)
          const isMoved = chance.often(0.2)
          if (!isMoved) return { ...one, intent }
          const url = `${one.url}${chance.whole(1, 9)}`
          if (!world.engines.has(url)) world.addEngine(url, ORDINARY)
          return { ...one, intent, url }
        })
      world.clock.io(() => world.configure(flipped))
    })
  }
}
