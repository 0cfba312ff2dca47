import { Gather } from '../core/gather.ts'
import type { EndRule, EndSign } from '../core/health/evidence.ts'
import type { AnswerApi, EventFields, EventVerdict, JsonObject } from './api.ts'

const LF = 0x0a
const CR = 0x0d
/** An event longer than this is no longer held: what looks back must be bounded. */
const HELD_BYTES_MAX = 1024 * 1024

/** The name of an event, and its data lines joined, as the SSE standard says. The field `error:`
 *  (llama.cpp until September 2025) is data of an event of that name. */
export function fieldsOf(text: string): EventFields {
  let name = ''
  let failed = false
  const data: string[] = []
  for (const line of text.split(/\r\n|\r|\n/)) {
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    if (field !== 'data' && field !== 'event' && field !== 'error') continue
    const from = line[colon + 1] === ' ' ? colon + 2 : colon + 1
    const value = colon === -1 ? '' : line.slice(from)
    if (field === 'event') name = value
    else data.push(value)
    failed ||= field === 'error'
  }
  return { name: failed ? 'error' : name, data: data.join('\n') }
}

/** The value of a JSON text; undefined: it is not JSON. */
export function valueOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The object in a JSON text; null: there is none. */
export function objectOf(text: string): JsonObject | null {
  const value = valueOf(text)
  return isObject(value) ? value : null
}

/** Is it a JSON object, and no list? */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The objects in a list; empty where it is not a list. */
export function listOf(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

/**
 * Cuts a stream of server-sent events into events, each with its exact bytes and the blank line
 * that ends it. Lines may end in LF, CRLF or CR. Everything that was pushed comes out again, in
 * order: the events, then `tail()`.
 */
export class EventSplitter {
  readonly #held = new Gather()
  /** Is the next byte the first of a line? */
  #lineStart = true
  /** Was the last byte a CR that may yet be followed by its LF? */
  #afterCr = false
  /** Has some of the event that is arriving been given away? */
  #spilt = false

  /** Is the event that is arriving longer than 1 MiB? Then `spill` it, and what follows of it. */
  get overflow(): boolean {
    return this.#held.length > HELD_BYTES_MAX
  }

  /** The events that `chunk` completes. They share memory with it where they can. */
  push(chunk: Buffer): Buffer[] {
    const events: Buffer[] = []
    if (chunk.length === 0) return events
    let start = 0
    let at = 0
    if (this.#afterCr) {
      this.#afterCr = false
      // The second half of a CRLF. Where it ends an event that is out already, it follows it alone.
      if (chunk[0] === LF) {
        at = 1
        if (this.#held.length === 0 && !this.#spilt) {
          events.push(chunk.subarray(0, 1))
          start = 1
        }
      }
    }
    const next = chunk.includes(CR) ? lineEnd : lineEndLf
    while (at < chunk.length) {
      const end = next(chunk, at)
      if (end === -1) {
        this.#lineStart = false
        break
      }
      const blank = this.#lineStart && isBlank(chunk, at, end)
      this.#lineStart = true
      at = end
      if (!blank) continue
      events.push(this.#take(chunk, start, end))
      start = end
    }
    this.#afterCr = chunk[chunk.length - 1] === CR
    if (start < chunk.length) this.#held.push(start === 0 ? chunk : chunk.subarray(start))
    return events
  }

  /** What has come of an event that is not complete; empty between events. */
  tail(): Buffer {
    return this.#held.whole()
  }

  /** Gives away what has come of an event that is not complete. The next event is the rest of it. */
  spill(): Buffer {
    this.#spilt = true
    return this.#held.take()
  }

  #take(chunk: Buffer, start: number, end: number): Buffer {
    const rest = start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end)
    this.#spilt = false
    if (this.#held.length === 0) return rest
    this.#held.push(rest)
    return this.#held.take()
  }
}

/** The offset after the line that begins at or before `at`, or -1 when it does not end here. */
function lineEnd(chunk: Buffer, at: number): number {
  for (let i = at; i < chunk.length; i++) {
    if (chunk[i] === LF) return i + 1
    if (chunk[i] === CR) return chunk[i + 1] === LF ? i + 2 : i + 1
  }
  return -1
}

/** The same for a chunk without any CR: what engines send, and four times as fast. */
function lineEndLf(chunk: Buffer, at: number): number {
  const end = chunk[at] === LF ? at : chunk.indexOf(LF, at)
  return end === -1 ? -1 : end + 1
}

function isBlank(chunk: Buffer, at: number, end: number): boolean {
  return end - at === 1 || (end - at === 2 && chunk[at] === CR && chunk[at + 1] === LF)
}

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
