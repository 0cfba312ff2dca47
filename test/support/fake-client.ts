import type { Test } from 'tap'
import { type FakeOptions, type FakeUpstream, fakeUpstream } from './fake-upstream.ts'
import { startGate, type TestGate } from './start-gate.ts'

/** One server-sent event as a client reads it. */
export interface ReadEvent {
  readonly name: string
  readonly data: Record<string, unknown>
}

/** How a stream of typed events ended for its client. */
export interface TypedEnd {
  readonly events: readonly ReadEvent[]
  /** Names in order. */
  readonly names: readonly string[]
  readonly text: string
  /** The last event, if it is an error. */
  readonly error: Record<string, unknown> | null
  /** Did the connection break instead of ending? */
  readonly broken: boolean
  readonly raw: string
}

/** Reads a stream of the Responses or the Messages API to its end, whatever that is. */
export async function readTyped(response: Response): Promise<TypedEnd> {
  let raw = ''
  let broken = false
  try {
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) raw += decoder.decode(chunk, { stream: true })
  } catch {
    broken = true
  }
  const events = raw.split('\n\n').flatMap((block) => {
    const name = /^event: (.*)$/m.exec(block)?.[1]
    const data = /^data: (.*)$/m.exec(block)?.[1]
    if (name === undefined || data === undefined) return []
    return [{ name, data: JSON.parse(data) as Record<string, unknown> }]
  })
  const text = events.map(({ data }) => deltaOf(data['delta'])).join('')
  const last = events.at(-1)
  const error = last?.name === 'error' ? last.data : null
  return { events, names: events.map(({ name }) => name), text, error, broken, raw }
}

function deltaOf(delta: unknown): string {
  if (typeof delta === 'string') return delta
  const text = (delta as { text?: unknown } | undefined)?.text
  return typeof text === 'string' ? text : ''
}

/** A gate over `a`, which is preferred, and `b`; both generate. */
export interface Two {
  readonly a: FakeUpstream
  readonly b: FakeUpstream
  readonly gate: TestGate
}

/** Starts all three and waits until the gate knows both. */
export async function gateOverTwo(
  t: Test,
  options: FakeOptions = {},
  env: Record<string, string> = {},
): Promise<Two> {
  const a = await fakeUpstream(t, { models: ['m'], idPrefix: 'of-a', ...options })
  const b = await fakeUpstream(t, { models: ['m'], idPrefix: 'of-b', ...options })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`, ...env })
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  return { a, b, gate }
}

/** Requests to this path that came by the gate: probes do not count. */
export function forwarded(up: FakeUpstream, path: string): FakeUpstream['seen'] {
  return up.seen.filter(({ url, headers }) => url.startsWith(path) && headers.via !== undefined)
}

/** Which upstream answered. */
export function servedBy(answer: Response): string | null {
  return answer.headers.get('x-gengate-upstream')
}
