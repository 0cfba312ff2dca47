import type { EndRule, EndSign } from '../core/health/evidence.ts'
import type { AnswerApi, EventVerdict } from './api.ts'
import { fieldsOf, objectOf } from './read.ts'

/**
 * How far one stream has come: the one rule for its proper end, for probes and traffic. An error is
 * never one, whatever came before it.
 */
export class StreamEnd {
  readonly #rule: EndRule
  /** Is its proper end the last of it? */
  readonly #atEnd: boolean
  readonly #open = new Set<number>()
  readonly #finished = new Set<number>()
  #content = false
  #done = false

  /** `rule`: of the upstream, for the APIs whose events do not name their end themselves. */
  constructor({ streamEnd }: AnswerApi, rule: EndRule) {
    this.#rule = streamEnd === 'by_upstream' ? rule : 'finish_reason'
    this.#atEnd = streamEnd === 'at_end'
  }

  note(verdict: EventVerdict): void {
    switch (verdict.kind) {
      case 'neutral':
        // An index that has appeared must finish, also one without content; a last empty delta after
        // its end opens nothing.
        for (const index of verdict.open ?? []) {
          if (!this.#finished.has(index)) this.#open.add(index)
        }
        return
      case 'content':
        this.#content = true
        for (const index of verdict.open) this.#open.add(index)
        return
      case 'end':
        this.#content ||= verdict.content
        for (const index of verdict.open) this.#open.add(index)
        for (const index of verdict.finished) {
          this.#open.delete(index)
          this.#finished.add(index)
        }
        return
      case 'done':
        this.#done = true
        return
      case 'error':
    }
  }

  /** Is it whole, whatever follows? */
  get complete(): boolean {
    return (this.#done || (this.#atEnd && this.reasoned)) && this.proper
  }

  /** Has it said that it is over, and is not whole? */
  get broken(): boolean {
    return this.#done && !this.proper
  }

  /** Has a choice ended by a reason? */
  get reasoned(): boolean {
    return this.#finished.size > 0
  }

  /** Is what has come so far a whole answer? */
  get proper(): boolean {
    const byReason = this.reasoned && this.#open.size === 0
    switch (this.#rule) {
      case 'finish_reason':
        return byReason
      case 'done':
        return this.#done && (this.#content || byReason)
      case 'learn':
        return this.reasoned ? byReason : this.#done && this.#content
    }
  }

  /** What it tells of its upstream's habits while they are learned; null: nothing yet. */
  get sign(): EndSign | null {
    if (this.#rule !== 'learn') return null
    if (this.reasoned) return 'finish_reason'
    return this.#done && this.#content ? 'done' : null
  }
}

const decoder = new TextDecoder()

/** Is this, the last of a body, half an event, so that the stream was cut? Blank lines, comments and whole
 *  objects may be the last. `verdict`: what it was taken for. Pure. */
export function isRagged(rest: Uint8Array, verdict: EventVerdict): boolean {
  if (verdict.kind !== 'neutral') return false
  const text = decoder.decode(rest).trim()
  if (text === '' || text.startsWith(':')) return false
  return objectOf(fieldsOf(text).data) === null
}
