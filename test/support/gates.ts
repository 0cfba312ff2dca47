import type { Test } from 'tap'
import type { Clock } from '../../src/runtime/clock.ts'
import { type FakeOptions, type FakeUpstream, fakeUpstream } from './fake-upstream.ts'
import { answerOf, chunk, event, json, type RawUpstream, rawUpstream } from './raw-upstream.ts'
import { SSE_END, SSE_HEAD } from './raw-upstream.ts'
import { startGate, type TestGate } from './start-gate.ts'

type Env = Record<string, string>

/** Settings with which a failure is found soon, for tests that wait for it. */
export const QUICK = { GENGATE_DETECT_WITHIN_MS: '1500', GENGATE_PROBE_INTERVAL_MS: '500' }

/** A gate over `a`, which generates. */
export interface One {
  readonly a: FakeUpstream
  readonly gate: TestGate
}

/** A gate over `a`, which is preferred, and `b`; both generate. */
export interface Two extends One {
  readonly b: FakeUpstream
}

/** Starts both and waits until the gate knows `a`. */
export async function gateOverOne(
  t: Test,
  options: FakeOptions = {},
  env: Env = {},
  clock?: Clock,
): Promise<One> {
  const a = await fakeUpstream(t, { models: ['m'], ...options })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}`, ...env }, clock)
  await gate.untilReason('a', 'ok')
  return { a, gate }
}

/** Starts all three and waits until the gate knows both. */
export async function gateOverTwo(t: Test, options: FakeOptions = {}, env: Env = {}): Promise<Two> {
  const a = await fakeUpstream(t, { models: ['m'], idPrefix: 'of-a', ...options })
  const b = await fakeUpstream(t, { models: ['m'], idPrefix: 'of-b', ...options })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`, ...env })
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  return { a, b, gate }
}

/** Requests to this path that came by the gate: probes do not count. */
export function forwarded(up: FakeUpstream, path = ''): FakeUpstream['seen'] {
  return up.seen.filter(({ url, headers }) => url.startsWith(path) && headers.via !== undefined)
}

/** An upstream that is well: each request gets this text. */
export function well(text: string): RawUpstream['play'] {
  return (socket, request) => {
    const stream = request.includes('"stream":true')
    socket.write(stream ? SSE_HEAD + chunk(event(text)) + SSE_END : json(answerOf(text)))
  }
}

/** A gate over upstreams `a`, `b`, … that answer with these bytes and are never probed. */
export async function gateOverRaw(
  t: Test,
  plays: readonly RawUpstream['play'][],
  env: Env = {},
  clock?: Clock,
): Promise<{ gate: TestGate; up: RawUpstream; ups: RawUpstream[] }> {
  const ups = await Promise.all(plays.map((play) => rawUpstream(t, play)))
  const names = ups.map((_, i) => String.fromCodePoint(97 + i))
  const own = names.flatMap((name) => [
    [`GENGATE_${name.toUpperCase()}_PROBE`, 'off'],
    [`GENGATE_${name.toUpperCase()}_MODEL`, 'm'],
  ])
  const list = names.map((name, i) => `${name}=${ups[i]?.url}`).join(',')
  const whole = { GENGATE_UPSTREAMS: list, ...Object.fromEntries(own), ...env }
  return { gate: await startGate(t, whole, clock), up: ups[0] as RawUpstream, ups }
}

/** The same over two, of which `b` is well. */
export async function gateOverTwoRaw(
  t: Test,
  play: RawUpstream['play'],
  env: Env = {},
): Promise<{ a: RawUpstream; b: RawUpstream; gate: TestGate }> {
  const { gate, ups } = await gateOverRaw(t, [play, well('b')], env)
  const [a, b] = ups as [RawUpstream, RawUpstream]
  return { a, b, gate }
}
