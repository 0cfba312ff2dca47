import type { Readable } from 'node:stream'
import type { AnswerHead } from '../../core/exchange/exchange.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { AnswerReader } from '../answer/reader.ts'
import type { Pool } from './pools.ts'

/** What one attempt is to send, and how to read what comes back. */
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
