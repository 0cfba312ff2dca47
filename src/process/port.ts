import { connect, createServer } from 'node:net'
import { codeOf } from '../errors/transport.ts'
import { bare, isAny, portOf } from '../runtime/address.ts'
import type { Clock } from '../runtime/clock.ts'

/** What does not accept a connection within this time is not there, ms. */
const CONNECT_LIMIT_MS = 500

/** Does anything accept a TCP connection at the address of this URL? Never rejects. */
export function acceptsAt(url: URL, clock: Clock): Promise<boolean> {
  return accepts(bare(url.hostname), portOf(url), clock)
}

/** May a child listen there? Null: yes. Otherwise the system's error code. Asks first whether
 *  anybody answers: macOS lets two listen, one on every address and one on loopback. */
export async function portProblem(
  host: string,
  port: number,
  clock: Clock,
): Promise<string | null> {
  const asked = isAny(host) ? '127.0.0.1' : host
  if (await accepts(asked, port, clock)) return 'EADDRINUSE'
  return new Promise((done) => {
    const server = createServer()
    server.once('error', (error) => done(codeOf(error)))
    server.listen({ host, port, exclusive: true }, () => server.close(() => done(null)))
  })
}

function accepts(host: string, port: number, clock: Clock): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ host, port })
    const end = (answer: boolean): void => {
      cancel()
      socket.destroy()
      done(answer)
    }
    const cancel = clock.after(CONNECT_LIMIT_MS, () => end(false))
    socket.once('connect', () => end(true)).once('error', () => end(false))
  })
}
