import { connect } from 'node:net'
import { bare, portOf } from '../runtime/address.ts'
import type { Clock } from '../runtime/clock.ts'

/** What does not accept a connection within this time is not there, ms. */
const LOOK_MS = 300

/** Does anything accept a TCP connection there? Never rejects. */
export function accepts(url: URL, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: bare(url.hostname), port: portOf(url) })
    const end = (answer: boolean): void => {
      cancel()
      socket.destroy()
      resolve(answer)
    }
    const cancel = clock.after(LOOK_MS, () => end(false))
    socket.once('connect', () => end(true)).once('error', () => end(false))
  })
}
