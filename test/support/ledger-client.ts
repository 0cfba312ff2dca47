import { connect, type Socket } from 'node:net'
import { isEofFramed, NONCE, textOf } from './ledger-upstream.ts'
import type { Chance } from './sim-chance.ts'

/** How a request may rightly end: a whole answer, an error answer, an error frame in a stream that
 *  is then broken; or the client itself left. */
export type Outcome = 'whole' | 'error' | 'cut' | 'left'

/** What must never be. */
export type Fault = 'lost' | 'duplicated' | 'cross-wired' | 'truncated'

export interface Verdict {
  readonly outcome: Outcome | Fault
  /** The error's code, or what was wrong. */
  readonly detail: string
}

/** Nothing waits longer than this for its end, ms: far beyond every budget of the gate. */
const PATIENCE_MS = 30_000

/** One client connection that asks one thing after the other, as lean as can be. */
export class LedgerClient {
  readonly #port: number
  #socket: Socket | null = null
  #text = ''
  #waiting: ((how: 'whole' | 'closed' | 'hung') => void) | null = null
  /** Bytes that came while nothing was asked. */
  strays = 0

  constructor(port: number) {
    this.#port = port
  }

  close(): void {
    this.#socket?.destroy()
  }

  /** Asks, reads to the end whatever it is, and judges. */
  async ask(nonce: string, chance: Chance): Promise<Verdict> {
    const stream = chance.often(0.5)
    const leavesMs = chance.often(0.01) ? chance.between(0, 8) : null
    const body = `{"model":"default","stream":${stream},"messages":[{"role":"user","content":"${nonce}"}]}`
    const request = `POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    const socket = (this.#socket ??= this.#open())
    this.#text = ''
    const ended = new Promise<'whole' | 'closed' | 'hung'>((resolve) => (this.#waiting = resolve))
    const at = chance.often(0.05) ? chance.whole(1, request.length - 1) : request.length
    socket.write(request.slice(0, at), 'latin1')
    if (at < request.length) setTimeout(() => socket.write(request.slice(at), 'latin1'), 1)
    const timer = setTimeout(
      () => this.#end(leavesMs === null ? 'hung' : 'closed'),
      leavesMs ?? PATIENCE_MS,
    )
    const how = await ended
    clearTimeout(timer)
    const left = how === 'closed' && leavesMs !== null
    if (how !== 'whole' || /\r\nconnection: close/i.test(this.#text.slice(0, 1_000))) {
      socket.destroy()
      this.#socket = null
    }
    return judge(nonce, this.#text, left ? 'left' : how)
  }

  #open(): Socket {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    socket.on('data', (chunk) => {
      if (this.#socket !== socket) return
      if (this.#waiting === null) this.strays += chunk.length
      this.#text += chunk.toString('latin1')
      if (isWhole(this.#text)) this.#end('whole')
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      if (this.#socket !== socket) return
      if (this.#waiting === null) this.#socket = null
      else this.#end('closed')
    })
    return socket
  }

  #end(how: 'whole' | 'closed' | 'hung'): void {
    this.#waiting?.(how)
    this.#waiting = null
  }
}

const LAST_CHUNK = '\r\n0\r\n\r\n'

/** Is this a whole answer, by its framing? One that is followed by more is, too. */
function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return false
  const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, end))?.[1]
  if (length !== undefined) return text.length >= end + 4 + Number(length)
  return text.endsWith(LAST_CHUNK)
}

/** Judges what one request got. Pure. */
export function judge(
  nonce: string,
  text: string,
  how: 'whole' | 'closed' | 'hung' | 'left',
): Verdict {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) {
    if (how === 'left') return { outcome: 'left', detail: '' }
    return { outcome: 'lost', detail: `${how} after ${JSON.stringify(text)}` }
  }
  const head = text.slice(0, end)
  const status = Number(head.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length))
  const chunked = /\r\ntransfer-encoding: chunked/i.test(head)
  const { body, rest } = chunked ? dechunked(text.slice(end + 4)) : plain(head, text.slice(end + 4))
  const alien = body.match(NONCE)?.find((found) => found !== nonce)
  if (alien !== undefined) return { outcome: 'cross-wired', detail: `${alien} in ${nonce}` }
  const said = saidIn(body, chunked)
  // A stream framed by its end may lose its mark with its connection: its finish reason has come,
  // and nothing tells that more was to follow.
  const marked = said.done || (chunked && isEofFramed(nonce) && body.endsWith('\n\n'))
  if (!textOf(nonce).startsWith(said.text)) {
    return { outcome: 'cross-wired', detail: `${nonce} got ${JSON.stringify(said.text)}` }
  }
  if (how === 'left') return { outcome: 'left', detail: '' }
  if (rest !== '') return { outcome: 'duplicated', detail: `${nonce}: and then ${rest}` }
  if (how === 'hung') return { outcome: 'lost', detail: `${nonce} hung after ${text.length} bytes` }
  if (how === 'closed') {
    if (said.error !== null) return { outcome: 'cut', detail: said.error }
    return {
      outcome: 'lost',
      detail: `${nonce} broke without a word: ${JSON.stringify(text.slice(-300))}`,
    }
  }
  if (status >= 400 && said.error !== null) return { outcome: 'error', detail: said.error }
  if (
    status === 200 &&
    said.error === null &&
    said.ended &&
    marked &&
    said.text === textOf(nonce)
  ) {
    return { outcome: 'whole', detail: '' }
  }
  return {
    outcome: 'truncated',
    detail: `${nonce} ended properly as ${JSON.stringify(text.slice(0, 1_500))}`,
  }
}

function plain(head: string, text: string): { body: string; rest: string } {
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? text.length)
  return { body: text.slice(0, length), rest: text.slice(length) }
}

/** What the chunks say, also where the last one is missing. */
function dechunked(text: string): { body: string; rest: string } {
  let body = ''
  let at = 0
  for (;;) {
    const line = text.indexOf('\r\n', at)
    if (line === -1) return { body, rest: '' }
    const size = Number.parseInt(text.slice(at, line), 16)
    if (Number.isNaN(size)) return { body, rest: text.slice(at) }
    if (size === 0) return { body, rest: text.slice(line + 4) }
    body += text.slice(line + 2, line + 2 + size)
    at = line + 2 + size + 2
  }
}

interface Said {
  text: string
  error: string | null
  /** Did it tell its finish reason? */
  ended: boolean
  /** Was the last thing `[DONE]`? A unary answer needs none. */
  done: boolean
}

interface Chunk {
  error?: { code?: string }
  choices?: {
    delta?: { content?: string }
    message?: { content?: string }
    finish_reason?: string | null
  }[]
}

function saidIn(body: string, streamed: boolean): Said {
  const said: Said = { text: '', error: null, ended: false, done: !streamed }
  const note = (json: string): void => {
    const { error, choices } = JSON.parse(json) as Chunk
    if (error !== undefined) said.error = String(error.code)
    const [choice] = choices ?? []
    said.text += choice?.delta?.content ?? choice?.message?.content ?? ''
    if (choice?.finish_reason === 'stop') said.ended = true
  }
  try {
    if (!streamed) note(body)
    else {
      const blocks = body.split('\n\n').filter((block) => block.startsWith('data: {'))
      for (const block of blocks) note(block.slice('data: '.length))
      said.done = body.endsWith('data: [DONE]\n\n')
    }
  } catch {
    // Half an event, which only a broken answer may have: `ended` stays false.
    said.ended = false
  }
  return said
}
