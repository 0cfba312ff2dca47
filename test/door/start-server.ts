import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import type { Test } from 'tap'
import type { GateEvent } from '../../src/core/event.ts'
import type { Handed } from '../../src/core/exchange/exchange.ts'
import { errorAnswer, plainAnswer } from '../../src/errors/answer.ts'
import type { DoorParts, Route } from '../../src/door/door.ts'
import type { GuardResult } from '../../src/door/guards.ts'
import { sendVia } from '../../src/door/own-answer.ts'
import { buildServer, type GateServer } from '../../src/door/server.ts'
import { systemClock } from '../../src/runtime/clock.ts'

/** A guard that lets everything through. */
export const pass = (request: IncomingMessage): GuardResult => {
  const url = request.url ?? ''
  const path = url.replace(/^http:\/\/[^/]*/, '')
  const mark = path.indexOf('?')
  const [at, query] = mark < 0 ? [path, ''] : [path.slice(0, mark), path.slice(mark)]
  return { ok: true, path: at, query, cors: {}, via: 'me' }
}

export interface Started {
  readonly port: number
  readonly server: GateServer
  readonly events: GateEvent[]
}

/** Answers in words. */
export const text =
  (body: string): Route =>
  ({ requestId }) =>
    plainAnswer(200, { type: 'text/plain', body }, requestId)

type Handle = (request: IncomingMessage, response: ServerResponse, handed: Handed) => unknown

const say: Handle = (_request, response, handed) => {
  response.writeHead(200, { 'x-request-id': handed.requestId })
  response.end(JSON.stringify(handed))
}

/** A server on a free port around fake rooms; `more` replaces some. */
export async function start(
  t: Test,
  { proxy = say, ...more }: Partial<Omit<DoorParts, 'proxy'>> & { proxy?: Handle } = {},
): Promise<Started> {
  const events: GateEvent[] = []
  const emit = (event: GateEvent): void => void events.push(event)
  const server = buildServer({
    clock: systemClock,
    emit,
    send: sendVia(emit),
    guard: pass,
    config: { now: { connectionsMax: 5_000 } },
    routes: {
      '/livez': text('ok\n'),
      '/metrics': async (handed) => text('gengate_x 1\n')(handed),
      '/v1/models': ({ requestId }) => errorAnswer('no_eligible_upstream', { requestId }),
      '/v1/models/*': (handed) => (handed.path === '/v1/models/' ? null : text('one')(handed)),
    },
    proxy: { handle: (request, response, handed) => void proxy(request, response, handed) },
    ...more,
  })
  const port = await server.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => {
    server.cut()
    return server.close()
  })
  return { port, server, events }
}

export interface Got {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

/** One answer, read apart. */
export function parse(text: string): Got {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [first = '', ...lines] = head.split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )
  return { status: Number(first.split(' ')[1]), headers, body: rest.join('\r\n\r\n') }
}

/** Sends raw bytes and reads until the server closes. */
export function raw(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.on('error', reject)
    socket.on('close', () => resolve(text))
  })
}

/** One request, `line` its method and path, on its own connection; `more`: header lines. */
export const send = async (port: number, line: string, more = ''): Promise<Got> =>
  parse(await raw(port, `${line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${more}\r\n`))

export const get = (port: number, path: string, more = ''): Promise<Got> =>
  send(port, `GET ${path}`, more)

/** Status and code of an error answer. */
export const codeOf = ({ status, body }: Got): string => `${status} ${JSON.parse(body).error.code}`
