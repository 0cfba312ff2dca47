import type { Socket } from 'node:net'
import type { Answer } from '../errors/answer.ts'
import type { ErrorCode } from '../errors/catalogue.ts'
import type { Connections } from './connections.ts'
import { rawAnswer } from './raw-answer.ts'

/** Which of our errors a failure of Node's HTTP parser is; null: the client is gone. Pure. */
export function clientErrorCode(error: { readonly code?: string | undefined }): ErrorCode | null {
  if (error.code === 'ECONNRESET' || error.code === 'EPIPE') return null
  if (error.code === 'HPE_HEADER_OVERFLOW') return 'headers_too_large'
  // The head did not arrive in time.
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request_timeout'
  return 'bad_framing'
}

/**
 * Answers a request that is no HTTP, and closes. When an earlier answer is still under way on the
 * connection, it ends first: bytes of ours in the middle of it would corrupt it. Answers whether
 * `answer` is or will be sent.
 */
export function refuseRaw(socket: Socket, connections: Connections, answer: Answer): boolean {
  if (!socket.writable) {
    socket.destroy()
    return false
  }
  const send = (): void => {
    if (!socket.writable) return
    socket.write(rawAnswer(answer))
    socket.destroySoon()
  }
  const earlier = connections.underWay(socket)
  if (earlier === null) send()
  else if (earlier.req.complete) earlier.once('close', send)
  else if (earlier.headersSent) {
    // The broken body belongs to the request that is being answered: only a cut says so.
    socket.destroy()
    return false
  } else send()
  return true
}
