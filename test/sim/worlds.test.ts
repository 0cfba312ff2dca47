import process from 'node:process'
import t from 'tap'
import { REASONS } from '../../src/core/health/reason.ts'
import { quantile } from '../support/sim-chance.ts'
import { FAULTS_UNTIL_MS, randomWorld } from '../support/sim-random.ts'
import type { SimWorld } from '../support/sim-world.ts'
import { sized } from '../support/soak.ts'

// Goal: whatever happens to upstreams, to clients and to ourselves, no invariant breaks.
// Method: random worlds from a seed: the real table, prober, watch, leases, holds and sink over
// simulated engines, under a virtual clock, with a referee who knows the truth (sim-referee.ts).
//
//   I1 no new request where it must not go, by the referee's own ledger of proofs
//   I2 one probe in flight per upstream        I3 nothing healthy and proven is ejected or refused
//   I4 a wedge gets no new traffic in time     I5 the healthy are admitted again
//   I6 nothing is left at the end              I7 evidence of another epoch changes nothing
//   I8 no probe while progress is seen
//
// What notices a break of the core (40 or 50 worlds and the scenarios of scenarios.test.ts):
//
//   break                                               noticed by
//   progress does not veto (judge)                      I3, I4
//   nothing in flight excuses silence (judge)           I3
//   evidence does not get stale (judge)                 I1
//   doubt about ourselves ignored (table)               I3, stall and sleep
//   a verdict held up by a stall is believed (table)    stall and sleep
//   first content counts as progress (facts)            I1, I4, "one_token", "slow_wedge"
//   a missed probe is no suspicion (judge)              I4, I5, "silent", "busy_wedge"
//   only the newest request can be silent (judge)       I4, "slow_wedge"
//   the slowest probe sets the deadline (policy)        I4
//   no hold-down (table)                                I1
//   one pass admits after an ejection (table)           I1
//   the wedged serve last (reason)                      I1
//   a draining upstream serves (table)                  I1
//   the epoch is not compared (table)                   I7
//   every suspect is abandoned at once (route)          S2
//   probes while progress is seen (schedule)            I8
//   the look at our punctuality outlives stop (prober)  I6
//   the watch of the data plane outlives its work       I8 (quiet)
//
// One seed again: SIM_SEED=n.

const ONE = process.env['SIM_SEED']
const WORLDS = sized(40, 400)
/** After the last fault: a probe that hangs to its limit (30 s), two retries of the idle (5.5 s
 *  each), and the longest prompt ahead in the queue (20 s). */
const ADMIT_WITHIN_MS = 61_000
const END_MS = FAULTS_UNTIL_MS + 2 * ADMIT_WITHIN_MS

t.setTimeout(60_000 + WORLDS * 1_000)

t.test('no world breaks an invariant', { timeout: 60_000 + WORLDS * 1_000 }, async (t) => {
  const seeds = ONE === undefined ? Array.from({ length: WORLDS }, (_, i) => i + 1) : [Number(ONE)]
  const broken: string[] = []
  const soft: number[] = []
  const hard: number[] = []
  const admitted: number[] = []
  const sums = { upstreamMs: 0, falseEjections: 0, ejections: 0, forwards: 0, suspectMs: 0 }
  const began = process.cpuUsage()
  for (const seed of seeds) {
    const world = randomWorld(seed)
    await world.run(END_MS)
    // Sleep has put off the last fault.
    while (world.clock.nowMs() < END_MS + world.sleptMs) await world.run(END_MS + world.sleptMs)
    admitted.push(...admissions(world))
    await world.close()
    const { tally, violations } = world.referee
    broken.push(...violations.map((violation) => `replay: SIM_SEED=${seed}  ${violation}`))
    soft.push(...tally.softMs)
    hard.push(...tally.hardMs)
    sums.upstreamMs += world.clock.nowMs() * world.engines.size
    sums.falseEjections += tally.falseEjections
    sums.ejections += tally.ejections
    sums.forwards += tally.forwards
    sums.suspectMs += tally.falseSuspectMs
  }
  const { user, system } = process.cpuUsage(began)
  const cpuS = (user + system) / 1e6
  const hours = sums.upstreamMs / 3_600_000
  t.comment(`${seeds.length} worlds, ${(seeds.length / cpuS).toFixed(1)} per CPU second`)
  t.comment(`${hours.toFixed(1)} upstream-hours, ${sums.forwards} attempts`)
  t.comment(`soft detection p50 ${quantile(soft, 0.5)} ms, p99 ${quantile(soft, 0.99)} ms`)
  t.comment(`hard detection p50 ${quantile(hard, 0.5)} ms, p99 ${quantile(hard, 0.99)} ms`)
  t.comment(`admitted p50 ${quantile(admitted, 0.5)} ms, p99 ${quantile(admitted, 0.99)} ms`)
  t.comment(`false ejections ${sums.falseEjections} of ${sums.ejections}`)
  t.comment(`needless suspicion ${(sums.suspectMs / 1_000 / hours).toFixed(1)} s an hour`)
  t.strictSame(broken.slice(0, 10), [])
  t.ok(ONE !== undefined || soft.length > WORLDS / 10, 'worlds with wedges that had to be noticed')
})

/** I5, and how long each admission took, ms. */
function admissions(world: SimWorld): number[] {
  const took: number[] = []
  for (const { spec, reason } of world.store.current.entries) {
    const ledger = world.referee.ledgers.get(spec.name)
    if (ledger === undefined || ledger.engine === undefined) continue
    const from = Math.max(ledger.healthySince, ledger.holdUntil)
    const { admittedAt } = ledger
    const back = admittedAt !== null && admittedAt > (ledger.ejectedAt.at(-1) ?? Infinity)
    if (back) took.push(Math.max(0, admittedAt - from))
    const late = world.clock.nowMs() - from > ADMIT_WITHIN_MS
    const { serves } = REASONS[reason]
    if (late && !ledger.admitted && serves === 'no') {
      world.referee.fail('I5', `${spec.name} is healthy and ${reason}`)
    }
  }
  return took
}
