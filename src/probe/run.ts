import type { ProbeOutcome } from '../core/health/evidence.ts'
import type { ProbeForm } from '../api/api.ts'
import { probeRequest } from '../engines/probe-request.ts'
import type { EndRule } from '../core/health/evidence.ts'
import type { ProbeKind } from '../api/index.ts'
import type { Quirks } from '../engines/quirks.ts'
import type { Clock } from '../runtime/clock.ts'
import { valueOf } from '../api/read.ts'
import { verdict } from './verdict.ts'
import { exchange, type Phase, type Target, type WireAnswer, type WireRequest } from './wire.ts'

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
  /** Called with the JSON of an answer other than 2xx, undefined where it is none; absent: nobody
   *  wants its words. */
  readonly onRefusal?: (status: number, body: unknown) => void
}

/** One GET. */
export interface FetchCall {
  readonly target: Target
  readonly path: string
  readonly limitMs: number
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** How a GET ended. `body` is its JSON, or its text where it is none. */
export type Fetched =
  | { readonly kind: 'answer'; readonly status: number; readonly body: unknown }
  /** Nothing, or not all of it, within the limit. */
  | { readonly kind: 'silent' }
  | { readonly kind: 'broken'; readonly code: string; readonly phase: Phase }

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

/** A timer this late was held up by our own event loop, ms. */
const LATE_MS = 250
/** After a late timer the answer may already lie in the socket buffer, since Node runs timers
 *  before it polls: so long it is given, ms. */
const GRACE_MS = 250

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

/** Asks for the model list, for what is in memory, or for counters. Never rejects. */
export async function fetchJson(call: FetchCall): Promise<Fetched> {
  const { target, path } = call
  const answer = await within(call, { target, path, body: null })
  if (answer === null) return { kind: 'silent' }
  if (answer.kind === 'broken') return answer
  const text = new TextDecoder().decode(answer.body)
  return { kind: 'answer', status: answer.status, body: valueOf(text) ?? text }
}

interface Bounds {
  readonly clock: Clock
  readonly limitMs: number
  readonly signal: AbortSignal
}

/** The answer, or null when the limit passed first. */
async function within(
  { clock, limitMs, signal }: Bounds,
  request: Omit<WireRequest, 'signal'>,
): Promise<WireAnswer | null> {
  const giveUp = new AbortController()
  let timedOut = false
  const expire = (): void => {
    timedOut = true
    giveUp.abort()
  }
  const dueAt = clock.nowMs() + limitMs
  let cancel = clock.after(limitMs, () => {
    if (clock.nowMs() - dueAt > LATE_MS) cancel = clock.after(GRACE_MS, expire)
    else expire()
  })
  const leave = (): void => giveUp.abort()
  signal.addEventListener('abort', leave)
  if (signal.aborted) leave()
  try {
    const answer = await exchange({ ...request, signal: giveUp.signal })
    return timedOut && answer.kind === 'broken' ? null : answer
  } finally {
    cancel()
    signal.removeEventListener('abort', leave)
  }
}
