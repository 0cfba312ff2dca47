import type { IncomingMessage } from 'node:http'
import type { ErrorCode } from '../../errors/catalogue.ts'
import type { Clock } from '../../runtime/clock.ts'
import { type BodyLimits, type BodyResult, readBody } from './body.ts'
import type { Asked } from '../deps.ts'
import { boundaryOf, readForm } from './form.ts'
import type { Lane } from '../../api/index.ts'
import { type ScannedBody, type ScanResult, scanBody, scanLargeBody, SLICE_BYTES } from './scan.ts'

/** What the handler knows of a body before it is sent. */
export type Body = Pick<Asked, 'body' | 'upload' | 'scan' | 'form'>

const EMPTY = Buffer.alloc(0)
/** Of a body that nobody looks into. */
const UNREAD: ScannedBody = {
  ok: true,
  model: null,
  modelSpan: null,
  stream: false,
  n: 1,
  maxTokens: null,
  previousId: null,
  insertAt: 0,
  empty: true,
}

/** Why a request is not forwarded. */
export interface Refusal {
  readonly code: ErrorCode
  readonly detail?: string
  readonly param?: string | null
  /** The rest of the body was not read: the connection cannot be used again. */
  readonly close?: boolean
  readonly headers?: Readonly<Record<string, string>>
}

/** A body that goes on as it arrives; none where the request announces none. */
function streamedBody(request: IncomingMessage): Body {
  const { headers } = request
  const length = headers['content-length'] ?? '0'
  const has = headers['transfer-encoding'] !== undefined || length !== '0'
  return { body: EMPTY, upload: has ? request : null, scan: UNREAD, form: null }
}

/** What is read of a body before it is sent, as its lane wants it; a refusal; or null: the client has
 *  left. */
export async function readByLane(
  request: IncomingMessage,
  lane: Lane,
  limits: BodyLimits,
): Promise<Body | Refusal | null> {
  const { clock } = limits
  const type = request.headers['content-type'] ?? ''
  const isForm = lane.body === 'by_type' && /^multipart\/form-data\b/i.test(type)
  if (isForm) return formBody(request, type, limits)
  const isJson = /^application\/json\b/i.test(type)
  if (lane.body === 'streamed' || (lane.body === 'by_type' && !isJson)) return streamedBody(request)
  const read = await bufferedBody(await readBody(request, limits), clock)
  if (lane.body === 'buffered' || read === null || 'code' in read) return read
  // Its answer goes on as it comes, so nothing is promised before.
  return { ...read, scan: { ...read.scan, stream: false } }
}

/** A form, read up to its model. */
async function formBody(
  request: IncomingMessage,
  type: string,
  limits: BodyLimits,
): Promise<Body | Refusal | null> {
  const boundary = boundaryOf(type)
  if (boundary === null) {
    return { code: 'invalid_form', detail: 'Its Content-Type names no boundary.', close: true }
  }
  const read = await readForm(request, boundary, limits)
  if (!read.ok) {
    if ('fault' in read) return { ...read.fault, param: 'model', close: true }
    return read.code === null ? null : { code: read.code, close: true }
  }
  const { form } = read
  const { model } = form.scan
  return {
    body: form.whole ? form.bytes : EMPTY,
    upload: form.whole ? null : request,
    scan: { ...UNREAD, model },
    form,
  }
}

/** A whole JSON body, scanned, a large one in turns; a refusal; or null: the client has left. */
function bufferedBody(
  read: BodyResult,
  clock: Clock,
): Body | Refusal | null | Promise<Body | Refusal> {
  if (!read.ok) return read.code === null ? null : { code: read.code, close: true }
  const { bytes } = read
  if (bytes.length <= SLICE_BYTES) return scannedBody(bytes, scanBody(bytes))
  return scanLargeBody(bytes, clock).then((scan) => scannedBody(bytes, scan))
}

function scannedBody(bytes: Buffer, scan: ScanResult): Body | Refusal {
  if (!scan.ok) return { code: scan.code, param: scan.param }
  return { body: bytes, upload: null, scan, form: null }
}
