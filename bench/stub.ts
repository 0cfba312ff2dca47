import { createServer, type Socket } from 'node:net'
import { setInterval } from 'node:timers'
import { asChunk, chatAnswer, chatEvent, MODEL, tokenEvent } from './bodies.ts'
import { RequestCutter } from './wire.ts'

// The upstream behind every contender: a chat server in the wire format of OpenAI, on bare sockets
// so that it costs little. What it answers stands in the query of the request:
//   kind=unary&bytes=N   a JSON answer of N bytes (also without any query: a probe)
//   kind=sse&events=N    a stream of N token events, one per SLOTS ms
//   kind=idle            a stream that stays silent after its first token
//   kind=flood&bytes=N   a stream of N bytes as fast as it is read
//   kind=never           no answer at all
// `mark` in the query: the time at which the connection closed is told to the parent.

/** A token per stream every so many ms; each ms one slot of streams is served. */
const SLOTS = 50
const BLOCK_BYTES = 64 * 1024

const JSON_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: '
const STREAM_HEAD = Buffer.from(
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n' +
    'cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n',
)
const TOKEN = asChunk(tokenEvent())
const OPENING = Buffer.concat([
  STREAM_HEAD,
  asChunk(chatEvent({ role: 'assistant', content: '' })),
  TOKEN,
])
const CLOSING = Buffer.concat([
  asChunk(chatEvent({}, 'stop')),
  asChunk(Buffer.from('data: [DONE]\n\n')),
  Buffer.from('0\r\n\r\n'),
])
const WHOLE = Buffer.concat([OPENING, CLOSING])
const MODELS = withHead(
  Buffer.from(JSON.stringify({ object: 'list', data: [{ id: MODEL, object: 'model' }] })),
)

/** Streams by connection, with the events that each has left. */
type Slot = Map<Socket, number>

const slots: Slot[] = Array.from({ length: SLOTS }, () => new Map())
const answers = new Map<number, Buffer>()
let nextSlot = 0

const server = createServer({ noDelay: true }, (socket) => {
  const cutter = new RequestCutter((target) => answer(socket, target))
  socket.on('data', (chunk: Buffer) => cutter.push(chunk))
  socket.on('error', () => socket.destroy())
  socket.once('close', () => {
    for (const slot of slots) slot.delete(socket)
  })
})

function answer(socket: Socket, target: string): void {
  const query = new URLSearchParams(target.split('?')[1] ?? '')
  if (query.has('mark')) {
    socket.once('close', () => process.send?.({ closedAtNs: Number(process.hrtime.bigint()) }))
  }
  switch (query.get('kind') ?? '') {
    case 'sse':
      return stream(socket, Number(query.get('events')))
    case 'idle':
      return void socket.write(OPENING)
    case 'flood':
      return flood(socket, Number(query.get('bytes')))
    case 'never':
      return
    default:
      socket.write(target.startsWith('/v1/models') ? MODELS : unary(Number(query.get('bytes'))))
  }
}

function unary(bytes: number): Buffer {
  let bytesOut = answers.get(bytes)
  if (bytesOut === undefined) {
    bytesOut = withHead(chatAnswer(bytes))
    answers.set(bytes, bytesOut)
  }
  return bytesOut
}

function stream(socket: Socket, events: number): void {
  if (events <= 1) return void socket.write(WHOLE)
  socket.write(OPENING)
  slots[nextSlot++ % SLOTS]?.set(socket, events - 1)
}

function flood(socket: Socket, bytes: number): void {
  const block = Buffer.concat(
    Array.from({ length: Math.ceil(BLOCK_BYTES / TOKEN.length) }, () => TOKEN),
  )
  let left = bytes
  const more = (): void => {
    while (left > 0 && !socket.destroyed) {
      left -= block.length
      if (!socket.write(block)) return void socket.once('drain', more)
    }
    socket.write(CLOSING)
  }
  socket.write(OPENING)
  more()
}

function serve(slot: Slot): void {
  for (const [socket, left] of slot) {
    if (left > 0) {
      socket.write(TOKEN)
      slot.set(socket, left - 1)
    } else {
      socket.write(CLOSING)
      slot.delete(socket)
    }
  }
}

function withHead(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${JSON_HEAD}${body.length}\r\n\r\n`), body])
}

/** Serves the slots that are due; a tick that comes late makes up for those before it. */
let served = Math.floor(Number(process.hrtime.bigint() / 1_000_000n))
function tick(): void {
  const now = Math.floor(Number(process.hrtime.bigint() / 1_000_000n))
  for (; served < now; served++) {
    const slot = slots[served % SLOTS]
    if (slot !== undefined && slot.size > 0) serve(slot)
  }
}

server.listen({ port: 0, host: '127.0.0.1', backlog: 8_192 }, () => {
  const address = server.address()
  process.send?.({ port: typeof address === 'object' ? address?.port : 0 })
})
setInterval(tick, 1)
process.once('disconnect', () => process.exit())
