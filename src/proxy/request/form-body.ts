import type { IncomingMessage } from 'node:http'
import { type BodyLimits, type BodyResult, readBody } from './body.ts'
import { type FormFault, type FormModel, FormScan } from './form.ts'

/** A multipart form as far as it was read before it is sent. */
export interface Form {
  /** Its beginning, or all of it. */
  readonly bytes: Buffer
  readonly whole: boolean
  /** Goes on with the rest: a second model in it is refused, too. */
  readonly scan: FormScan
}

export type FormResult =
  | { readonly ok: true; readonly form: Form }
  | { readonly ok: false; readonly fault: FormFault }
  | Extract<BodyResult, { ok: false }>

/** Clients write the model first, or right after the file: it is looked for in so much. */
const LOOK_BYTES = 64 * 1024

/**
 * Reads a form until its model is known. Without one in the first 64 KiB the rest is held, if its
 * declared length fits `maxBytes` and there is room, since clients may write the file first; else it
 * goes on with its model unseen. Never rejects.
 */
export async function readForm(
  request: IncomingMessage,
  boundary: string,
  limits: BodyLimits,
): Promise<FormResult> {
  const declared = Number(request.headers['content-length'] ?? Number.NaN)
  const scan = new FormScan(boundary)
  let fits: boolean | null = null
  const enough = (piece: Buffer, read: number): boolean => {
    scan.push(piece)
    if (scan.fault !== null || scan.model !== null || scan.ended) return true
    if (read < LOOK_BYTES || scan.within) return false
    fits ??= declared <= limits.maxBytes && reserve(limits, declared, read)
    return !fits
  }
  const read = await readBody(request, {
    ...limits,
    maxBytes: Number.POSITIVE_INFINITY,
    enough,
  })
  if (!read.ok) return read
  if (scan.fault !== null) return { ok: false, fault: scan.fault }
  return { ok: true, form: { bytes: read.bytes, whole: read.whole, scan } }
}

/** Keeps room for all of it; false: there is none. */
function reserve({ held, resize }: BodyLimits, bytes: number, read: number): boolean {
  held.reserved = bytes
  if (resize(read) === null) return true
  held.reserved = 0
  return false
}

/** Did it go on before a model showed, if it names one at all? Pure. */
export function isUnseen({ whole, scan }: Form): boolean {
  return !whole && scan.model === null && !scan.ended
}

/** The bytes of a form with another value of its model; every other byte stays as it is. */
export function renamed(bytes: Buffer, model: FormModel, name: string): Buffer {
  const before = bytes.subarray(0, model.start)
  return Buffer.concat([before, Buffer.from(name), bytes.subarray(model.end)])
}
