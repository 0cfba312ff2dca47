import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

interface Teardown {
  teardown: (end: () => Promise<void>) => unknown
}

/** A listener on a free port of 127.0.0.1, and its open connections. */
export interface RawServer {
  readonly url: string
  readonly port: number
  readonly sockets: ReadonlySet<Socket>
}

/**
 * Gives each whole request, head and body by its length, to `serve`, and each head to `onHead` before
 * its body is whole. Every fake that answers with bytes stands on this; `t` closes it.
 */
export async function rawServer(
  t: Teardown,
  serve: (socket: Socket, request: string) => void,
  onHead?: (socket: Socket, head: string) => void,
): Promise<RawServer> {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    let text = ''
    let told = false
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      for (;;) {
        const end = text.indexOf('\r\n\r\n')
        if (end === -1) return
        if (!told) onHead?.(socket, text.slice(0, end))
        told = true
        const size = end + 4 + Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 0)
        if (text.length < size) return
        const request = text.slice(0, size)
        text = text.slice(size)
        told = false
        serve(socket, request)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, sockets }
}

/** What is done with a connection: these bytes, a pause of so many ms, nothing more for ever, or a cut. */
export type Step = Buffer | number | 'hang' | 'cut'

/** Does it, one step after the other. */
export async function perform(socket: Socket, steps: readonly Step[]): Promise<void> {
  for (const step of steps) {
    if (socket.destroyed || step === 'hang') return
    if (step === 'cut') return void socket.destroy()
    if (typeof step === 'number') await pause(step)
    else socket.write(step)
  }
}

/** An upstream that says exactly what its script says, byte for byte. It is never probed
 *  (`GENGATE_<NAME>_PROBE=off`): what it answers would not pass. */
export interface RawUpstream extends RawServer {
  /** Head and body of each request that was asked of the gate, or is a probe, as they came. */
  readonly requests: string[]
  /** What to do with a request. May be changed at any time. */
  play: (socket: Socket, request: string) => void
  /** Called with the head of a request, before its body is whole. */
  onHead: ((socket: Socket, head: string) => void) | null
}

/** Starts one; `t` closes it. */
export async function rawUpstream(
  t: Teardown,
  play: RawUpstream['play'] = (socket) => void socket.write(json()),
): Promise<RawUpstream> {
  const script: Pick<RawUpstream, 'requests' | 'play' | 'onHead'> = {
    requests: [],
    play,
    onHead: null,
  }
  const server = await rawServer(
    t,
    (socket, request) => {
      // The gate also asks for the list of models; what it forwards has a Via.
      if (!/^POST|\r\nvia: /i.test(request)) return void socket.write(json('{"data":[]}'))
      script.requests.push(request)
      script.play(socket, request)
    },
    (socket, head) => script.onHead?.(socket, head),
  )
  return Object.assign(script, server)
}

/** A unary answer of chat with this text. */
export function answerOf(text: string): string {
  return JSON.stringify({
    id: 'raw',
    object: 'chat.completion',
    created: 1,
    model: 'm',
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  })
}

/** A whole JSON answer on the wire; `length` is what its head claims. */
export function json(
  body = answerOf('raw'),
  how: { status?: string; lines?: readonly string[]; length?: number } = {},
): string {
  const { status = '200 OK', lines = [], length = body.length } = how
  const more = lines.map((line) => `${line}\r\n`).join('')
  return `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\n${more}content-length: ${length}\r\n\r\n${body}`
}

/** The head of an event stream in chunks. */
export const SSE_HEAD =
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n'

/** One chunk. */
export function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`
}

/** One event of a chat stream with this text; with a reason, its end. */
export function event(content: string, reason: string | null = null): string {
  const delta = content === '' ? {} : { content }
  const choices = [{ index: 0, delta, finish_reason: reason }]
  return `data: ${JSON.stringify({ id: 'raw', object: 'chat.completion.chunk', created: 1, model: 'm', choices })}\n\n`
}

/** The proper end of such a stream. */
export const SSE_END = `${chunk(event('', 'stop'))}${chunk('data: [DONE]\n\n')}0\r\n\r\n`
