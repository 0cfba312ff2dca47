import type { Entry } from '../health/entry.ts'
import { isUnproven, type OwnedProcess } from './process.ts'
import type { Reason } from '../health/reason.ts'

/** Its output may hold secrets, so that only its operator sees it. */
const EXITED_HINT =
  'Its process, which this gate had started, has ended. `gengate status --verbose` shows its last words.'

const ENDING_HINT = 'Its engine is about to be ended by this gate: it finishes what runs.'

/** An engine that opens its port before it loads has done so by then, ms; vLLM takes minutes. */
const LISTENS_LATE_MS = 60_000

/** What the gate itself mends, so that nobody else need. */
const RESTART_HINTS: Partial<Record<Reason, string>> = {
  wedged: 'It accepts requests and generates nothing. This gate, which started it, restarts it.',
  refused:
    'Its process runs and nothing listens at its address. If that lasts, this gate restarts it.',
  http_5xx:
    'The engine answers a generation with a server error. If that lasts, this gate restarts it.',
  truncated: 'Its answers end before they are complete. If that lasts, this gate restarts it.',
}

/** What is to be said of an upstream whose engine the gate owns; null: what is said of any other. Pure. */
export function processHint({ spec, facts }: Entry, shown: Reason, nowMs: number): string | null {
  const { process } = facts
  if (process === null) return null
  if (process.phase === 'exited') return shown === 'refused' ? EXITED_HINT : null
  if (process.phase === 'draining') return spec.intent === 'enabled' ? ENDING_HINT : null
  if (isUnproven(process) && shown === 'loading') return startingHint(process, spec, nowMs)
  return process.phase === 'asleep' ? null : (RESTART_HINTS[shown] ?? null)
}

/** Only what the newest probe heard is told: an engine that nobody could ask has said nothing. */
function startingHint(
  { heard, at }: OwnedProcess,
  { name }: Entry['spec'],
  nowMs: number,
): string | null {
  if (heard === 'loading') return null
  if (heard === null) return 'This gate has started its engine. It joins when it generates.'
  const found = heard === 'refused' ? 'nothing listens' : 'nothing answers'
  const now = `Its process runs, but ${found} at its address yet.`
  if (nowMs - at < LISTENS_LATE_MS) return now
  const variable = `GENGATE_${name.toUpperCase()}`
  return (
    `${now} Some engines load their model first. Else ${variable}_RUN names another port or ` +
    `address than ${variable}_URL: see its output by \`gengate status --verbose\`.`
  )
}
