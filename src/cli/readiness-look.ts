import type { TextReply } from './ask.ts'
import { noStatusMessage } from './gate-client.ts'

/** What one answer of `/readyz?verbose` says. */
export interface ReadinessLook {
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
  reply: TextReply,
  origin: string,
  model: string | null,
): ReadinessLook {
  const { status, text, errorCode } = reply
  if (errorCode !== null) {
    const summary = noStatusMessage(origin, { kind: 'unreachable', code: errorCode })
    return { ready: false, summary, reasons: [] }
  }
  if (!GATE_LINE.test(text)) {
    return { ready: false, summary: noStatusMessage(origin, { kind: 'other' }), reasons: [] }
  }
  const reasons = text.split('\n').filter((line) => FAILED_LINE.test(line))
  if (status === 200) return { ready: true, summary: 'ready', reasons }
  const failed = reasons.map((line) => FAILED_LINE.exec(line)?.slice(1).join(' ') ?? '')
  const unknown = status === 404 ? [`the model "${model}" is not known`] : []
  const summary = [...unknown, ...failed].join('; ')
  return { ready: false, summary: summary === '' ? `HTTP ${status}` : summary, reasons }
}
