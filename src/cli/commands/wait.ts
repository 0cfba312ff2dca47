import { durationText } from '../../core/explain.ts'
import { originOf } from '../../runtime/address.ts'
import { sleep } from '../../runtime/clock.ts'
import { type CommandSpec, ENV_FILE, withGate, type World } from '../command.ts'
import { ask, GATE_LIMIT_MS, type GatePlace, noStatus, type Reply } from '../gate-client.ts'
import { type CliIo, EXIT, ownTerminal } from '../io.ts'
import type { ConfigFlags } from '../load.ts'

interface WaitFlags extends ConfigFlags {
  /** Seconds. */
  readonly timeout: number
  readonly model?: string
}

export const wait: CommandSpec = {
  name: 'wait',
  summary: 'wait until the gate can serve',
  examples: `Examples:
  gengate wait                            until something can serve, or 180 s
  gengate wait --timeout 60 && ./client.sh
  gengate wait --model default; echo "exit=$?"      0 ready, 1 not in time`,
  options: [
    ENV_FILE,
    {
      flags: '--timeout <seconds>',
      summary: 'give up after this long',
      takes: { secondsFrom: 0 },
      default: 180,
    },
    { flags: '--model <name>', summary: 'wait until this model can be served' },
  ],
  run: (_args: readonly [], { timeout, model, ...flags }: WaitFlags, world: World) => {
    const { io, terminal = ownTerminal() } = world
    const verbose = terminal.stderr
    const options = { timeoutMs: timeout * 1_000, model: model ?? null, verbose }
    return withGate(io, flags, (gate) => waitFor(gate, options, io))
  },
}

interface WaitOptions {
  readonly timeoutMs: number
  /** Wait for this model; null: for anything that is servable. */
  readonly model: string | null
  /** Tell each change on stderr: somebody looks at it. */
  readonly verbose: boolean
}

/** Between two questions, ms: a gate answers from memory. */
const PACE_MS = 500

/** Waits until the gate is ready. Exit 0 when it is, 1 when it is not in time, and then says why. */
export async function waitFor(
  config: Pick<GatePlace, 'host' | 'port'>,
  { timeoutMs, model, verbose }: WaitOptions,
  io: CliIo,
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
    const reply = await ask({ url: origin, apiKey: null }, path, { clock, limitMs })
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

/** What one answer of `/readyz?verbose` says. */
interface ReadinessLook {
  readonly ready: boolean
  /** Why not, in one line that changes only when something does. */
  readonly summary: string
  /** What speaks against it, line by line, with ages and hints; empty where no gate answered. */
  readonly reasons: readonly string[]
}

/** The first line of every gate's answer; something else may be listening there. */
const GATE_LINE = /^\[[+-]\]gate /
/** The upstream, or `gate`, and its reason. */
const FAILED_LINE = /^\[-\](\w+) (\w+)/

/** Reads the answer. Only a gate's own words make it ready. Pure. */
export function readinessLook(
  { status, body, errorCode }: Reply,
  origin: string,
  model: string | null,
): ReadinessLook {
  const text = typeof body === 'string' && GATE_LINE.test(body) ? body : null
  if (text === null) {
    const kind = errorCode === null ? 'other' : 'unreachable'
    const { message: summary } = noStatus(kind, origin, errorCode ?? '')
    return { ready: false, summary, reasons: [] }
  }
  const reasons = text.split('\n').filter((line) => FAILED_LINE.test(line))
  if (status === 200) return { ready: true, summary: 'ready', reasons }
  const failed = reasons.map((line) => FAILED_LINE.exec(line)?.slice(1).join(' ') ?? '')
  const unknown = status === 404 ? [`the model "${model}" is not known`] : []
  const summary = [...unknown, ...failed].join('; ')
  return { ready: false, summary: summary === '' ? `HTTP ${status}` : summary, reasons }
}
