import { durationText } from '../../core/explain.ts'
import { sleep } from '../../runtime/clock.ts'
import { askText } from '../ask.ts'
import { originOf } from '../../runtime/address.ts'
import { GATE_LIMIT_MS, type GatePlace } from '../gate-client.ts'
import { type CliIo, EXIT } from '../io.ts'
import { readinessLook, type ReadinessLook } from '../readiness-look.ts'

export interface WaitOptions {
  readonly timeoutMs: number
  /** Wait for this model; null: for anything that is servable. */
  readonly model: string | null
}

export interface WaitDeps {
  readonly io: CliIo
  /** Tell each change on stderr: somebody looks at it. */
  readonly verbose: boolean
}

/** Between two questions, ms: a gate answers from memory. */
const PACE_MS = 500

/** Waits until the gate is ready. Exit 0 when it is, 1 when it is not in time, and then says why. */
export async function wait(
  config: Pick<GatePlace, 'host' | 'port'>,
  { timeoutMs, model }: WaitOptions,
  { io, verbose }: WaitDeps,
): Promise<number> {
  const { clock } = io
  const origin = originOf(config)
  const path = `/readyz?verbose${model === null ? '' : `&model=${encodeURIComponent(model)}`}`
  const startedAt = clock.nowMs()
  const never = new AbortController().signal
  const tell = verbose ? io.err : (): void => undefined
  for (let last: ReadinessLook | null = null; ;) {
    const leftMs = startedAt + timeoutMs - clock.nowMs()
    // The last question has time for an answer, too: its reasons are what is told in the end.
    const limitMs = Math.min(GATE_LIMIT_MS, Math.max(PACE_MS, leftMs))
    // `/readyz` wants no key.
    const reply = await askText(origin, path, { clock, limitMs, apiKey: null })
    const look = readinessLook(reply, origin, model)
    const tookMs = clock.nowMs() - startedAt
    if (look.ready) {
      tell(`gengate: ready after ${durationText(tookMs)}.`)
      return EXIT.ok
    }
    if (tookMs >= timeoutMs) {
      io.err(`gengate: not ready after ${durationText(tookMs)}: ${look.summary}`)
      for (const line of look.reasons) io.err(`  ${line}`)
      return EXIT.failed
    }
    if (look.summary !== last?.summary) tell(`gengate: not ready yet: ${look.summary}`)
    last = look
    await sleep(clock, Math.min(PACE_MS, timeoutMs - tookMs), never)
  }
}
