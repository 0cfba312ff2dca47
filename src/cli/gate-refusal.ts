import { engineError } from '../engines/engine-error.ts'
import { type ErrorCode, ERRORS } from '../errors/catalogue.ts'

/** A 503 that a gate made itself: it names what no engine behind it could say. */
export interface GateRefusal {
  readonly code: ErrorCode
  /** Its own sentence, with the reason per upstream. */
  readonly message: string
}

/** The codes by which a gate says that nothing behind it generates, not that it has much to do. */
const NOTHING_GENERATES: ReadonlySet<ErrorCode> = new Set([
  'no_eligible_upstream',
  'upstream_starting',
])

/** Reads a refusal; null: it is no gate's 503, but an engine's. Pure. */
export function gateRefusal(status: number, body: unknown): GateRefusal | null {
  const error = status === 503 ? engineError(body) : null
  if (error === null || !isOwnCode(error.code)) return null
  return { code: error.code, message: error.message }
}

/** One sentence of ours, then the gate's own. Pure. */
export function refusalText({ code, message }: GateRefusal): string {
  const said = NOTHING_GENERATES.has(code)
    ? 'the gate there has no upstream that generates.'
    : 'the gate there refuses.'
  return `${code}: ${said} ${message}`.trimEnd()
}

function isOwnCode(code: string): code is ErrorCode {
  return Object.entries(ERRORS).some(([own, { status }]) => own === code && status === 503)
}
