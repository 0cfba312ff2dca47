import type { EndRule, EndSign } from '../core/health/evidence.ts'
import type { EventVerdict } from './tables.ts'

/**
 * How far one stream has come: the one rule for its proper end, for probes and traffic. An error is
 * never one, whatever came before it.
 */
export class StreamEnd {
  readonly #rule: EndRule
  readonly #open = new Set<number>()
  readonly #finished = new Set<number>()
  #content = false
  #done = false

  constructor(rule: EndRule) {
    this.#rule = rule
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

  /** Has its last event come? */
  get done(): boolean {
    return this.#done
  }

  /** Has a choice ended by a reason? */
  get reasoned(): boolean {
    return this.#finished.size > 0
  }

  get hasContent(): boolean {
    return this.#content
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

  /** What it tells of its upstream's habits; null: nothing yet. */
  get sign(): EndSign | null {
    if (this.reasoned) return 'finish_reason'
    return this.#done && this.#content ? 'done' : null
  }
}
