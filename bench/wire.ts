const HEAD_END = Buffer.from('\r\n\r\n')
const EVENT_END = Buffer.from('\n\n')
const BODY_END = Buffer.from('\r\n0\r\n\r\n')
const LF = 0x0a
const NOTHING = Buffer.alloc(0)

/**
 * Cuts a byte stream into HTTP requests for the stub: target of each, once its body is whole. Only
 * `Content-Length` framing, which is what every contender sends here; anything else throws.
 */
export class RequestCutter {
  readonly #onRequest: (target: string) => void
  #held = NOTHING
  #missing = 0
  #target = ''

  constructor(onRequest: (target: string) => void) {
    this.#onRequest = onRequest
  }

  push(chunk: Buffer): void {
    let rest = chunk
    while (rest.length > 0) {
      if (this.#missing > 0) {
        const taken = Math.min(this.#missing, rest.length)
        this.#missing -= taken
        rest = rest.subarray(taken)
      } else {
        const data = this.#held.length === 0 ? rest : Buffer.concat([this.#held, rest])
        const end = data.indexOf(HEAD_END)
        // The reader's buffer is not ours to keep.
        this.#held = end === -1 ? Buffer.from(data) : NOTHING
        if (end === -1) return
        this.#head(data.toString('latin1', 0, end))
        rest = data.subarray(end + HEAD_END.length)
      }
      if (this.#missing === 0) this.#onRequest(this.#target)
    }
  }

  #head(head: string): void {
    if (/^transfer-encoding:/im.test(head)) throw new Error('the stub reads no chunked bodies')
    this.#target = head.slice(head.indexOf(' ') + 1, head.indexOf(' ', head.indexOf(' ') + 1))
    this.#missing = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? '0')
  }
}

/**
 * Follows the answers on one connection for the load: how many have ended, how many events have
 * come, whether one was not a 200. It parses no chunks: these bodies cannot hold what ends them.
 */
export class AnswerCutter {
  ended = 0
  events = 0
  /** Answers whose status was not 200, and connections that spoke no HTTP. */
  bad = 0
  #held = NOTHING
  #body: 'none' | 'length' | 'chunked' = 'none'
  #missing = 0
  #tail = NOTHING

  /** Is an answer under way? */
  get within(): boolean {
    return this.#body !== 'none'
  }

  push(chunk: Buffer): void {
    let rest = chunk
    while (rest.length > 0) {
      if (this.#body === 'none') {
        const data = this.#held.length === 0 ? rest : Buffer.concat([this.#held, rest])
        const end = data.indexOf(HEAD_END)
        this.#held = end === -1 ? Buffer.from(data) : NOTHING
        if (end === -1) return
        this.#head(data.toString('latin1', 0, end))
        rest = data.subarray(end + HEAD_END.length)
      }
      rest = this.#body === 'chunked' ? this.#chunked(rest) : this.#counted(rest)
    }
  }

  #head(head: string): void {
    if (!/^HTTP\/1\.[01] 200\b/.test(head)) this.bad++
    this.#body = /^transfer-encoding: *chunked/im.test(head) ? 'chunked' : 'length'
    this.#missing = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? '0')
    this.#tail = NOTHING
  }

  #counted(rest: Buffer): Buffer {
    const taken = Math.min(this.#missing, rest.length)
    this.#missing -= taken
    if (this.#missing === 0) this.#end()
    return rest.subarray(taken)
  }

  #chunked(rest: Buffer): Buffer {
    this.events += countEvents(rest, this.#tail.at(-1) === LF)
    const size = BODY_END.length
    // Nothing is pipelined: the end of the body is the end of what was read.
    const last =
      rest.length >= size ? rest.subarray(-size) : Buffer.concat([this.#tail, rest]).subarray(-size)
    if (last.equals(BODY_END)) this.#end()
    else this.#tail = Buffer.from(last)
    return NOTHING
  }

  #end(): void {
    this.#body = 'none'
    this.ended++
  }
}

/** Events that end in `bytes`; `afterLf`: the byte before them was a line end. Pure. */
export function countEvents(bytes: Buffer, afterLf: boolean): number {
  let count = afterLf && bytes[0] === LF ? 1 : 0
  for (let at = bytes.indexOf(EVENT_END); at !== -1; at = bytes.indexOf(EVENT_END, at + 2)) count++
  return count
}
