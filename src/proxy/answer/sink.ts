import { report } from '../deps.ts'
import type { ProxyDeps } from '../deps.ts'
import type { AnswerWriter } from './answer-writer.ts'
import type { AttemptSink } from '../upstream/attempt-input.ts'
import type { Attempt } from '../upstream/attempt.ts'
import type { AnswerHead } from '../../core/exchange/ending.ts'
import { isEstablished } from '../../core/exchange/progress.ts'
import type { Lease } from '../leases.ts'

export interface SinkInput {
  readonly deps: ProxyDeps
  readonly lease: Lease
  /** The model that answers, by the name that the upstream knows; absent or null: it has none. */
  readonly means?: string | null
  readonly writer: AnswerWriter
  /** Status and headers for the client, from the upstream's. */
  readonly headFor: (head: AnswerHead, length: number | null) => Record<string, string | string[]>
  /** The upstream's answer has begun to reach the client. */
  readonly onCommit: () => void
  /** Content is about to reach the client, or would if it were not held. */
  readonly onFirstContent: () => void
}

/** Between one attempt and the client: writes, measures, and tells the table what moves. */
export class ClientSink implements AttemptSink {
  readonly #in: SinkInput
  #attempt: Attempt | null = null
  #events = 0
  #firstAt = 0
  #lastAt = 0

  constructor(input: SinkInput) {
    this.#in = input
  }

  /** The attempt to pause and resume; it exists only after its sink. */
  attach(attempt: Attempt): void {
    this.#attempt = attempt
  }

  commit(head: AnswerHead, length: number | null): void {
    const { writer, lease, headFor, onCommit } = this.#in
    writer.commit(head.status, headFor(head, length), lease.upstream)
    onCommit()
  }

  write(chunk: Buffer): boolean {
    const { deps, writer, lease } = this.#in
    const more = writer.write(chunk)
    if (!more) {
      lease.pause(deps.clock.nowMs())
      writer.onDrain(() => this.#readOn())
    }
    return more
  }

  /** The time in which the client took nothing is nobody's silence, and no gap between tokens. */
  #readOn(): void {
    const { deps, lease } = this.#in
    this.#lastAt = deps.clock.nowMs()
    lease.resume(this.#lastAt)
    this.#attempt?.resume()
  }

  works(): void {
    const { deps, lease } = this.#in
    lease.workedAt(deps.clock.nowMs())
  }

  content(events: number): void {
    const { deps, lease } = this.#in
    const at = deps.clock.nowMs()
    lease.contentAt(at)
    if (this.#events === 0) this.#first(at)
    else this.#next(at)
    this.#events += events
    this.#lastAt = at
  }

  #first(at: number): void {
    const { deps, lease } = this.#in
    this.#firstAt = at
    const { sentAt, bytes, cold = false } = lease.item
    if (lease.work === 'generation') {
      report(deps, lease, { type: 'first_content', at, ttftMs: at - sentAt, bytes, cold })
    }
    this.#in.onFirstContent()
  }

  #next(at: number): void {
    const { deps, lease, means = null } = this.#in
    const gapMs = at - this.#lastAt
    deps.emit({ type: 'gap', upstream: lease.upstream, gapMs })
    if (lease.work !== 'generation') return
    if (!isEstablished(at - this.#firstAt, this.#events)) return
    const longestMs = lease.progress(at, gapMs)
    if (longestMs === null) return
    report(deps, lease, { type: 'progress', at, gapMs: longestMs, model: means })
  }
}
