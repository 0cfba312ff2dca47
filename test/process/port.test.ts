import { createServer } from 'node:net'
import t from 'tap'
import { acceptsAt, portProblem } from '../../src/process/port.ts'
import { systemClock } from '../../src/runtime/clock.ts'

t.test('portProblem() sees who listens on the same port, on one address or on all', async (t) => {
  for (const [taken, wanted] of [
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.1'],
    ['127.0.0.1', '0.0.0.0'],
  ] as const) {
    const server = createServer((socket) => socket.destroy())
    await new Promise<void>((resolve) => server.listen(0, taken, resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    t.equal(await portProblem(wanted, address.port, systemClock), 'EADDRINUSE', taken)
    const url = new URL(`http://127.0.0.1:${address.port}/v1`)
    t.equal(await acceptsAt(url, systemClock), true)
    await new Promise((resolve) => server.close(resolve))
    t.equal(await acceptsAt(url, systemClock), false)
    t.equal(await portProblem(wanted, address.port, systemClock), null)
  }
  t.equal(await portProblem('192.0.2.1', 8001, systemClock), 'EADDRNOTAVAIL')
})
