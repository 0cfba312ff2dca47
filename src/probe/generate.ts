import type { ProbeForm } from '../api/api.ts'
import { engineError } from '../api/answer.ts'
import { listedAs, type ListedModel } from '../core/model/model-choice.ts'
import type { EndRule, ProbeOutcome } from '../core/health/evidence.ts'
import { formText, nextForm, probeRequest } from '../engines/probe-request.ts'
import { type ProbeKind, workOf } from '../api/index.ts'
import type { Quirks } from '../engines/quirks.ts'
import type { Clock } from '../runtime/clock.ts'
import { valueOf } from '../api/read.ts'
import { verdict } from './verdict.ts'
import { fetchJson, type Target, within } from './wire.ts'

/** One generation probe. */
export interface ProbeCall {
  readonly target: Target
  readonly quirks: Quirks
  readonly kind: ProbeKind
  /** Null: left out. */
  readonly model: string | null
  readonly maxTokens: number
  /** Absent: the usual one. */
  readonly form?: ProbeForm
  /** What ends its streams, should it stream; absent: what its kind alone says. */
  readonly endRule?: EndRule | undefined
  /** The connection is given up after this, ms. */
  readonly limitMs: number
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Called once, when the request really goes out. */
  readonly onSent: () => void
  /** Called with the JSON of an answer other than 2xx, undefined where it is not JSON; absent: nobody
   *  wants its words. */
  readonly onRefusal?: (status: number, body: unknown) => void
}

/** The two ways in which the control plane touches the network; tests bring their own. */
export interface Wire {
  readonly probe: typeof runProbe
  readonly get: typeof fetchJson
}

/** How one upstream is asked. */
export interface Asking {
  readonly target: Target
  readonly quirks: Quirks
  /** What ends its streams; absent: what its kind alone says. */
  readonly endRule?: EndRule
  readonly maxTokens: number
  /** A generation is given up after this, ms. */
  readonly limitMs: number
  /** How long the model list and the question what is loaded may take, ms. */
  readonly queryLimitMs: number
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly wire: Wire
  /** Called once, when the first generation request goes out, or when it would but for a queue. */
  readonly onSent: () => void
  /** Called when it is seen to generate for others; `gapMs`: since it was last seen to. */
  readonly onProgress: (gapMs: number) => void
}

/** How one attempt at a generation ended. */
export interface Generated {
  readonly outcome: ProbeOutcome
  /** Of the probe that was not refused as such; null: all were. */
  readonly kind: ProbeKind | null
  readonly form: ProbeForm
  readonly model: string | null
}

/** How it was asked last. */
export interface Habit {
  /** The probe kind that passed last. */
  readonly kind: ProbeKind | null
  /** How the probe had to be put to be accepted. */
  readonly form: ProbeForm
}

/** An upstream that is asked, and its model list. */
type Listed = Asking & { readonly listing: { readonly models: readonly ListedModel[] | null } }

/** Forms that are tried in a round after the first, whatever the kind. */
const FORMS_MAX = 3

/** Tries the probe kinds in turn until one is not refused as such, each in another form where its
 *  parameters are what is refused. One after the other: never two requests at one upstream. */
export async function generate(
  round: Listed,
  memory: Habit,
  model: string | null,
): Promise<Generated> {
  const { quirks, signal } = round
  const kinds = kindsFor(round, model).toSorted((a, b) => rank(a, memory) - rank(b, memory))
  let { form } = memory
  let left = FORMS_MAX
  let refusal: ProbeOutcome | null = null
  for (const kind of kinds) {
    for (;;) {
      let said = ''
      const onRefusal = (_status: number, body: unknown): void => {
        said = engineError(body)?.message ?? ''
      }
      const outcome = await ask(round, { kind, model, form, onRefusal })
      const next = left > 0 && !signal.aborted ? reformed(form, outcome, said) : null
      if (next !== null) {
        left -= 1
        form = next
        continue
      }
      if (!isRefusedKind(outcome) || signal.aborted) {
        const other = kind === quirks.probes[0] ? [] : [kind]
        return { outcome: inForm(outcome, other, form), kind, form, model }
      }
      // A route that exists and refuses says more than one that is missing.
      if (refusal === null || (isMissing(refusal) && !isMissing(outcome))) refusal = outcome
      break
    }
  }
  const outcome = refusal ?? { kind: 'inconclusive', detail: 'no_probe_kind' }
  return { outcome, kind: null, form: memory.form, model }
}

function ask(
  { quirks, endRule, target, maxTokens, limitMs, clock, signal, wire, onSent }: Asking,
  wish: Pick<ProbeCall, 'kind' | 'model' | 'form' | 'onRefusal'>,
): Promise<ProbeOutcome> {
  return wire.probe({ target, quirks, endRule, maxTokens, limitMs, clock, signal, onSent, ...wish })
}

function reformed(form: ProbeForm, outcome: ProbeOutcome, said: string): ProbeForm | null {
  return outcome.kind === 'fail' ? nextForm(form, { status: outcome.detail, said }) : null
}

/** A pass, with what the probe had to be like. */
function inForm(outcome: ProbeOutcome, other: readonly ProbeKind[], form: ProbeForm): ProbeOutcome {
  if (outcome.kind !== 'pass') return outcome
  const text = [...other, formText(form)].filter((part) => part !== '').join(', ')
  return text === '' ? outcome : { ...outcome, form: text }
}

/** What to ask of this model. One that generates is never asked to embed: that would prove nothing. */
function kindsFor({ quirks, listing }: Listed, model: string | null): readonly ProbeKind[] {
  const { probes, kind } = quirks
  const listed = listing.models
  const one = model === null ? (listed?.[0] ?? null) : listedAs(kind, listed, model)
  const fit = probes.filter((probe) => workOf(probe) === one?.work)
  return fit.length === 0 ? probes : fit
}

/** The kind that passed last comes first. */
function rank(kind: ProbeKind, memory: Habit): number {
  return kind === memory.kind ? 0 : 1
}

/** Is it refused as such, so that another kind may pass? */
export function isRefusedKind(outcome: ProbeOutcome): boolean {
  return isMissing(outcome) || reasonOf(outcome) === 'bad_request'
}

function isMissing(outcome: ProbeOutcome): boolean {
  return reasonOf(outcome) === 'wrong_kind'
}

/** What a failure was; null: it was not a failure. */
export function reasonOf(outcome: ProbeOutcome): string | null {
  return outcome.kind === 'fail' ? outcome.reason : null
}

/**
 * Sends one generation request on its own connection and judges what comes back. Never rejects: a
 * bug in the judging is `inconclusive`, since it says nothing about the upstream.
 */
export async function runProbe(call: ProbeCall): Promise<ProbeOutcome> {
  const { clock, limitMs, target, kind, quirks, endRule } = call
  try {
    const { path, body } = probeRequest(call)
    let sentAt = clock.nowMs()
    const onSent = (): void => {
      sentAt = clock.nowMs()
      call.onSent()
    }
    const answer = await within(call, { target, path, body, onSent })
    if (answer === null) return { kind: 'timeout', limitMs }
    if (answer.kind === 'answer' && (answer.status < 200 || answer.status > 299)) {
      call.onRefusal?.(answer.status, valueOf(new TextDecoder().decode(answer.body)))
    }
    return verdict(answer, { kind, quirks, endRule, latencyMs: clock.nowMs() - sentAt })
  } catch {
    return { kind: 'inconclusive', detail: 'bug' }
  }
}
