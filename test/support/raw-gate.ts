import { answerOf, chunk, event, json, type RawUpstream, rawUpstream } from './raw-upstream.ts'
import { SSE_END, SSE_HEAD } from './raw-upstream.ts'
import { startGate, type TestGate } from './start-gate.ts'

/** An upstream that is well: each request gets this text. */
export function well(text: string): RawUpstream['play'] {
  return (socket, request) => {
    const stream = request.includes('"stream":true')
    socket.write(stream ? SSE_HEAD + chunk(event(text)) + SSE_END : json(answerOf(text)))
  }
}

/** A gate over upstreams `a`, `b`, … that answer with these bytes and are never probed. */
export async function gateOverRaw(
  t: Parameters<typeof startGate>[0],
  plays: readonly RawUpstream['play'][],
  env: Record<string, string> = {},
): Promise<{ gate: TestGate; ups: RawUpstream[] }> {
  const ups = await Promise.all(plays.map((play) => rawUpstream(t, play)))
  const names = ups.map((_, i) => String.fromCodePoint(97 + i))
  const own = names.flatMap((name) => [
    [`GENGATE_${name.toUpperCase()}_PROBE`, 'off'],
    [`GENGATE_${name.toUpperCase()}_MODEL`, 'm'],
  ])
  const list = names.map((name, i) => `${name}=${ups[i]?.url}`).join(',')
  const whole = { GENGATE_UPSTREAMS: list, ...Object.fromEntries(own), ...env }
  return { gate: await startGate(t, whole), ups }
}

/** The same over two, of which `b` is well. */
export async function gateOverTwoRaw(
  t: Parameters<typeof startGate>[0],
  play: RawUpstream['play'],
  env: Record<string, string> = {},
): Promise<{ a: RawUpstream; b: RawUpstream; gate: TestGate }> {
  const { gate, ups } = await gateOverRaw(t, [play, well('b')], env)
  const [a, b] = ups as [RawUpstream, RawUpstream]
  return { a, b, gate }
}
