import type { Socket } from 'node:net'
import { chunk as chunkOf, json, rawServer } from './raw-upstream.ts'
import { IS_SOAK } from './soak.ts'

/** What every request of the ledger carries in its prompt, and every answer in its id and text. */
export const NONCE = /N\d+-\d+-[0-9a-f]{8}/g

/** The text that answers a nonce: some are long, so that answers span packets. */
export function textOf(nonce: string): string {
  const times = nonce.endsWith('f') ? 40 : 1 + (nonce.charCodeAt(nonce.length - 1) % 3)
  return `${nonce} `.repeat(times)
}

/** The ways in which this upstream frames and paces an answer; which one, the nonce decides. */
const MANNERS = ['at_once', 'by_event', 'in_two', 'late', 'chunked'] as const
type Manner = (typeof MANNERS)[number] | 'eof_framed'

/**
 * A lean upstream that keeps a book: raw TCP, keep-alive, streams whose tokens spell the nonce of
 * their request. Never fails by itself.
 */
export interface LedgerUpstream {
  readonly name: string
  readonly port: number
  /** How often each nonce has arrived whole. */
  readonly arrived: ReadonlyMap<string, number>
}

/** Starts one; `t` closes it. */
export async function ledgerUpstream(
  t: Parameters<typeof rawServer>[0],
  name: string,
): Promise<LedgerUpstream> {
  const arrived = new Map<string, number>()
  const { port } = await rawServer(t, (socket, request) => {
    if (request.startsWith('GET')) return send(socket, json(LIST))
    const nonce = request.match(NONCE)?.[0] ?? 'probe'
    if (nonce !== 'probe') arrived.set(nonce, (arrived.get(nonce) ?? 0) + 1)
    const answer = request.includes('"stream":true') ? stream : unary
    return answer(socket, nonce, mannerOf(nonce))
  })
  return { name, port, arrived }
}

/** Framing by the end of the connection is rare in the long form: each one leaves ports behind that stay
 *  taken for a minute, and a hundred thousand requests would use up all there are. */
const EOF_FRAMED = IS_SOAK ? /00$|77$|1f$/ : /[07]$/

/** Does this answer end with its connection? */
export function isEofFramed(nonce: string): boolean {
  return EOF_FRAMED.test(nonce)
}

function mannerOf(nonce: string): Manner {
  if (isEofFramed(nonce)) return 'eof_framed'
  return MANNERS[nonce.charCodeAt(nonce.length - 2) % MANNERS.length] ?? 'at_once'
}

const LIST = JSON.stringify({ object: 'list', data: [{ id: 'm', object: 'model' }] })

function head(type: string, framing: number | 'chunked' | 'eof'): string {
  const line =
    framing === 'eof'
      ? 'connection: close'
      : framing === 'chunked'
        ? 'transfer-encoding: chunked'
        : `content-length: ${framing}`
  return `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\n${line}\r\n\r\n`
}

function unary(socket: Socket, nonce: string, manner: Manner): void {
  const message = { role: 'assistant', content: textOf(nonce) }
  const body = JSON.stringify({
    id: nonce,
    object: 'chat.completion',
    created: 1,
    model: 'm',
    choices: [{ index: 0, message, finish_reason: 'stop' }],
    usage: { prompt_tokens: 1, completion_tokens: 6, total_tokens: 7 },
  })
  const type = 'application/json'
  const half = body.length >> 1
  if (manner === 'eof_framed') return void socket.end(head(type, 'eof') + body)
  if (manner === 'chunked') {
    const parts = [body.slice(0, half), body.slice(half)].map(chunkOf)
    return send(socket, `${head(type, 'chunked')}${parts.join('')}0\r\n\r\n`)
  }
  if (manner === 'late') {
    setTimeout(() => send(socket, head(type, body.length) + body), 3)
    return
  }
  if (manner === 'at_once') return send(socket, head(type, body.length) + body)
  send(socket, head(type, body.length) + body.slice(0, half))
  setImmediate(() => send(socket, body.slice(half)))
}

function stream(socket: Socket, nonce: string, manner: Manner): void {
  const text = textOf(nonce)
  const size = Math.ceil(text.length / 6)
  const event = (delta: object, reason: string | null = null): string =>
    `data: ${JSON.stringify({ id: nonce, object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`
  const events = [event({ role: 'assistant', content: '' })]
  for (let at = 0; at < text.length; at += size) {
    events.push(event({ content: text.slice(at, at + size) }))
  }
  events.push(event({}, 'stop'), 'data: [DONE]\n\n')
  const eof = manner === 'eof_framed'
  const parts = eof ? events : [...events.map(chunkOf), '0\r\n\r\n']
  parts[0] = head('text/event-stream', eof ? 'eof' : 'chunked') + (parts[0] ?? '')
  if (manner === 'by_event' || manner === 'chunked') return piece(socket, parts)
  if (manner === 'late') {
    // Head and role first; content comes when the gate has long looked at them.
    send(socket, parts[0])
    setTimeout(() => send(socket, parts.slice(1).join('')), 3)
    return
  }
  const half = manner === 'at_once' ? parts.length : 4
  send(socket, parts.slice(0, half).join(''))
  if (eof || half < parts.length) {
    setImmediate(() => {
      send(socket, parts.slice(half).join(''))
      if (eof) socket.end()
    })
  }
}

function piece(socket: Socket, parts: readonly string[]): void {
  const [first, ...rest] = parts
  if (first === undefined) return
  send(socket, first)
  setImmediate(() => piece(socket, rest))
}

function send(socket: Socket, text: string): void {
  if (text !== '' && socket.writable) socket.write(text, 'latin1')
}
