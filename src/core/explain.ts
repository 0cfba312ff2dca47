import { type Choice, type ChoiceWhy, isUntold } from './model/model-choice.ts'
import { isUnproven } from './health/facts.ts'
import type { OwnedProcess } from './owned/process.ts'
import { isNameless } from './model/models.ts'
import { type Reason, REASONS } from './health/reason.ts'
import { membersOf, type RouteRequest, servesFor, servesOf } from './route.ts'
import { nextProbeAt } from './health/schedule.ts'
import { type Entry, isEmpty, type RoutingTable, shownReason, stateOf } from './table.ts'

const SEVERAL = 'Several models are listed; name one, or set GENGATE_<NAME>_MODEL.'
const NOTHING_LOADED =
  'No model is in memory, and it loads none when a request asks for it. Load one in the engine.'
const UNPROBED =
  'Nobody probes it (GENGATE_<NAME>_PROBE=passive): it serves when no other can, until it has generated.'
const EMPTY = 'It lists no model. Load one in the engine, or add one to it.'
const NEVER =
  'No model that may be asked for is in memory, and GENGATE_<NAME>_COLD is never: no request loads one. Load it in the engine, or set on_demand.'

/** What the reason of an upstream means and what to do, with its own variable names. Pure. */
export function hintOf(entry: Entry, nowMs: number): string {
  const reason = shownReason(entry)
  const own =
    processHint(entry, reason, nowMs) ??
    readingHint(entry, reason, nowMs) ??
    coldHint(entry, reason) ??
    unprobedHint(entry, reason)
  const embeds = servesOf(entry) === 'no' && servesOf(entry, 'embedding') === 'first'
  const hint = `${own ?? REASONS[reason].hint}${embeds ? ' It still serves embeddings.' : ''}`
  return hint.replaceAll('<NAME>', entry.spec.name.toUpperCase())
}

/** What waits for no probe, since none is sent; null: that is not so. */
function unprobedHint({ spec }: Entry, reason: Reason): string | null {
  const waits = reason === 'not_probed_yet' || reason === 'stale'
  return waits && spec.probe !== 'active' ? UNPROBED : null
}

/** How old the last word on a prompt may be, ms: engines send one every few seconds at most. */
const READING_MS = 15_000
const READING =
  'It works on a long prompt, as its keep-alives tell, and what came later waits behind that.'

/** Nothing comes, but a prompt is being read; null: none is. */
function readingHint({ facts }: Entry, reason: Reason, nowMs: number): string | null {
  if (reason !== 'probe_missed' && reason !== 'silent') return null
  const reads = facts.flight.items.some(
    ({ contentAt, workedAt = -Infinity }) => contentAt === null && nowMs - workedAt < READING_MS,
  )
  return reads ? READING : null
}

/** What is known beyond the reason; null: nothing. */
function coldHint(entry: Entry, reason: Reason): string | null {
  const asked = reason === 'model_not_found' && entry.spec.model === null
  if (isEmpty(entry) && (asked || reason === 'model_not_loaded')) return EMPTY
  if (reason !== 'model_not_loaded') return null
  if (entry.facts.loadsNothing) return NOTHING_LOADED
  if (entry.spec.cold === 'never') return NEVER
  return isUntold(entry) ? SEVERAL : null
}

/**
 * Why the gate cannot serve, in one line for clients and operators:
 * `vllm_cpu: wedged for 12 s (It accepts requests …); ollama: refused for 3 min (…)`; with a request,
 * also why what is well does not serve it. Pure.
 */
export function reasonsText(table: RoutingTable, nowMs: number, request?: RouteRequest): string {
  if (table.entries.length === 0) return 'No upstream is configured.'
  return table.entries
    .map((entry) => {
      const passed = request === undefined ? null : whyNotFor(table, entry, request)
      if (passed !== null) return `${entry.spec.name}: ${passed}`
      const lasted = durationText(nowMs - entry.since)
      return `${entry.spec.name}: ${shownReason(entry)} for ${lasted} (${hintOf(entry, nowMs)})`
    })
    .join('; ')
}

/** Why an upstream that serves others does not serve this request; null: it does, or serves nobody. */
function whyNotFor(table: RoutingTable, entry: Entry, request: RouteRequest): string | null {
  const member = membersOf(table, request)?.find((one) => one.entry === entry)
  const { name } = entry.spec
  if (member === undefined) {
    if (servesOf(entry) === 'no') return null
    return isNameless(request.model)
      ? 'no model that a request without a name could mean'
      : entry.facts.models === null
        ? 'has not told its models yet'
        : 'does not list this model'
  }
  if (member.means === null || servesFor(member) !== 'no' || !isRefusedLoad(entry)) return null
  return coldNeverText(name, member.means)
}

/** Why an upstream may not load what is asked for there; without `model`: whatever it is. Pure. */
export function coldNeverText(name: string, model?: string): string {
  const what = model === undefined ? 'it is cold' : `${model} is not in memory`
  return `${what}, and GENGATE_${name.toUpperCase()}_COLD is never`
}

/** Is it well, or cold, and told never to load? */
function isRefusedLoad(entry: Entry): boolean {
  return entry.spec.cold === 'never' && (servesOf(entry) !== 'no' || stateOf(entry) === 'cold')
}

/** Until a client may find things changed: the next probe of anybody, ms from now. The caller
 *  clamps it for the header. Pure. */
export function retryAfterMs(table: RoutingTable, nowMs: number): number {
  const probes = table.entries.map((entry) => nextProbeAt(table, entry, nowMs, 0))
  const next = Math.min(Infinity, ...probes)
  // No probe ahead: one is under way, or nobody probes and only a new request can tell.
  return Number.isFinite(next) ? Math.max(0, next - nowMs) + PROBE_TAKES_MS : PROBE_TAKES_MS
}

/** Between the sending of a probe and a verdict that a client can see, in the good case. */
const PROBE_TAKES_MS = 1_000

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
function processHint({ spec, facts }: Entry, shown: Reason, nowMs: number): string | null {
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

const BECAUSE: Readonly<Record<ChoiceWhy, string>> = {
  configured: 'it is set for this upstream',
  only: 'no other that could be meant is listed',
  engine: 'the engine takes it itself',
  in_memory: 'it is in memory',
  proven: 'it was the last to generate',
  smallest: 'it is the smallest',
  first: 'it is listed first',
}

/** Which model a nameless request means, as a sentence for people. Pure. */
export function choiceText({ model, why, loads }: Choice): string {
  if (why === null) return 'A request without a model means none of its models.'
  if (model === null) return 'A request without a model stays so: the engine takes its own.'
  const load = loads ? ', and such a request loads it' : ''
  return `A request without a model means ${model}: ${BECAUSE[why]}${load}.`
}

/** A duration as people say it: `40 ms`, `1.5 s`, `12 s`, `5 min`, `3 h`, `2 d`. Pure. */
export function durationText(ms: number): string {
  const whole = Math.max(0, Math.round(ms))
  if (whole > 0 && whole < 1_000) return `${whole} ms`
  const seconds = whole / 1_000
  if (seconds < 9.95) return `${Number(seconds.toFixed(1))} s`
  if (seconds < 119.5) return `${Math.round(seconds)} s`
  if (seconds < 7_170) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}
