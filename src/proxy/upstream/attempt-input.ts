import type { Readable } from 'node:stream'
import type { EndRule, EndSign } from '../../core/health/evidence.ts'
import type { Asked, ProxyDeps } from '../deps.ts'
import type { Clock } from '../../runtime/clock.ts'
import { mayRefuseUs, type StatusAction, statusAction } from '../../core/status.ts'
import type { AnswerHead, Failed, HeldAnswer } from '../../core/exchange/ending.ts'
import { failedByStatus } from './failed.ts'
import { isEventStream, requestHeaders } from './headers.ts'
import type { Pool } from './pools.ts'
import { type AnswerReader, BodyReader, FormReader, RawReader } from '../answer/reader.ts'
import { StreamReader } from '../answer/stream-reader.ts'
import { type Form, renamed } from '../request/form.ts'
import { freeBody } from '../request/body.ts'
import { detached, type FormStart } from '../request/upload.ts'
import { withModel } from '../request/rewrite.ts'

/** Where the answer goes. `write` answers false when the client is slow: call `resume` later. */
export interface AttemptSink {
  /** `length`: bytes of the whole body where it is known. */
  commit(head: AnswerHead, length: number | null): void
  write(chunk: Buffer): boolean
  /** Content events were read just now. */
  content(events: number): void
  /** The engine goes on with the prompt; absent: nobody wants to know. */
  works?(): void
}

export interface AttemptInput {
  readonly pool: Pool
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string>
  /** A function: a body that goes on as it arrives; `flushed` tells whether all of what it gave is
   *  out of this process. */
  readonly body: Buffer | ((flushed: () => boolean) => Readable) | null
  /** The answer has begun to reach the client: the body will not be sent again. */
  readonly bodySent?: () => void
  /** Is the answer judged by its status and content? Otherwise it goes on as it comes. */
  readonly judged: boolean
  /** Was a model name mapped? Then a 404 is about our mapping. */
  readonly mapped: boolean
  /** Has the head of an event stream gone out to the client already? */
  readonly pending: () => boolean
  /** The reader for an answer that is to be judged, by its head. */
  readonly readerFor: (head: AnswerHead) => AnswerReader
  /** May it be sent again, as the connection had died before? `seen`: the upstream may have all of
   *  the first try nevertheless. Counts it, if so. */
  readonly mayReplay: (seen: boolean) => boolean
  /** Something of ours threw while it read the answer. */
  readonly onBug: (error: unknown) => void
  readonly clock: Clock
}

/** What the table of statuses says of an answer to this attempt. Pure. */
export function actionOf({ judged, mapped }: AttemptInput, status: number): StatusAction {
  return judged ? statusAction(status, { mapped }) : 'judge'
}

/** Is an answer of this status the client's, whatever its body says? One about a key is read first. */
export function mayStream(input: AttemptInput, status: number): boolean {
  return actionOf(input, status) === 'pass' && !mayRefuseUs(status) && !input.pending()
}

/** How an answer that is not judged by its content ends the attempt; null: it is passed on. Pure. */
export function failedByAnswer(input: AttemptInput, answer: HeldAnswer): Failed | null {
  return failedByStatus(actionOf(input, answer.status), answer, input.pool.target.authorization)
}

/** What one attempt sends: path, headers and body, with the model name that the upstream knows. */
export function attemptInput(
  deps: ProxyDeps,
  asked: Asked,
  to: {
    readonly pool: Pool
    readonly model: string | null
    /** Did the gate choose it, so that a 404 is the gate's mistake and not the client's? */
    readonly mapped: boolean
    /** Has the head of an event stream gone out already? */
    readonly pending: () => boolean
    readonly endRule: EndRule
    readonly onEndSign: (sign: EndSign) => void
    readonly mayReplay: (seen: boolean) => boolean
  },
): AttemptInput {
  const { pool, model } = to
  const { lane, scan, upload } = asked
  const body = upload === null ? bodyFor(asked, model) : null
  const start = formStart(asked, model)
  const onId = (id: string): void => deps.sticky.remember(id, pool.target.name)
  return {
    pool,
    method: asked.method,
    path: `${pool.basePath}${asked.path}${asked.query}`,
    headers: sentHeaders(asked, pool, start),
    body: upload === null ? body : (flushed) => detached(upload, flushed, start),
    bodySent: () => {
      if (body !== null && body !== asked.body) freeBody(body)
      asked.bodySent()
    },
    judged: lane.api !== null,
    mapped: to.mapped,
    pending: to.pending,
    mayReplay: to.mayReplay,
    readerFor: (head) => {
      if (lane.api === null || isVectors(asked, head)) return new RawReader()
      // What the client wrote comes back; where it wrote nothing, the upstream's name is as good.
      const back = model === null ? null : scan.model?.value || null
      const wrap = scan.stream ? (answer: Buffer) => asStream(asked, answer, to.pending()) : null
      const { endRule, onEndSign } = to
      const options = { api: lane.api, endRule, onEndSign, model: back, onId, wrap }
      return new FormReader(isEventStream(head) ? 'events' : 'json', {
        either: scan.stream,
        readerFor: (form) =>
          form === 'events' ? new StreamReader(options) : new BodyReader(options),
      })
    },
    onBug: (error) => {
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
      deps.emit({ type: 'bug', where: 'attempt', message })
    },
    clock: deps.clock,
  }
}

function sentHeaders(asked: Asked, pool: Pool, start: FormStart | null): Record<string, string> {
  const { upload, headers, form } = asked
  const sent = requestHeaders(headers, {
    requestId: asked.requestId,
    authorization: pool.target.authorization,
    via: asked.via,
    hasBody: upload !== null || asked.body.length > 0,
  })
  // mlx-lm refuses a body without its length (411): what the client declared goes on.
  const length = upload === null ? undefined : headers['content-length']
  const longer = start === null || form === null ? 0 : start.first.length - form.bytes.length
  if (length !== undefined) sent['content-length'] = String(Number(length) + longer)
  return sent
}

function bodyFor({ body, scan, form }: Asked, model: string | null): Buffer | null {
  if (body.length === 0) return null
  if (form !== null) return named(form, model)
  return model === null ? body : withModel(body, scan, model)
}

/** What was read of a form that is not held whole; null: there is none. */
function formStart({ upload, form }: Asked, model: string | null): FormStart | null {
  if (upload === null || form === null) return null
  return { first: named(form, model), look: (chunk) => form.scan.push(chunk) }
}

function named({ bytes, scan }: Form, model: string | null): Buffer {
  return model === null || scan.model === null ? bytes : renamed(bytes, scan.model, model)
}

/**
 * A JSON answer to a client that asked for a stream: its events where we know how they look; else
 * the answer as it is, unless (`pending`) a stream has begun already. Null: it cannot go out.
 */
function asStream(asked: Asked, answer: Buffer, pending: boolean): Buffer | null {
  const asEvents = asked.lane.api?.asEvents
  if (asEvents === undefined) return pending ? null : answer
  // Rare enough to build the tree: the body has been proven to parse.
  const body: unknown = JSON.parse(asked.body.toString())
  return asEvents(answer, asksForUsage(body))
}

function asksForUsage(body: unknown): boolean {
  const options = isRecord(body) ? body['stream_options'] : null
  return isRecord(options) && options['include_usage'] === true
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

/** vLLM sends vectors as bytes to clients that ask for them: there is nothing to judge in them. */
function isVectors({ lane }: Asked, head: AnswerHead): boolean {
  if (lane.api?.bytes !== true) return false
  return (head.headers['content-type'] ?? '').toLowerCase().startsWith('application/octet-stream')
}
