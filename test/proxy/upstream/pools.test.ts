import { readFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { LINUX_ONLY } from '../../support/linux-only.ts'
import { FRESH, Pool, Pools } from '../../../src/proxy/upstream/pools.ts'

// Goal: connections are reused last in first out, one request each, and never across targets.
// Method: a TCP server that counts connections and answers each request it reads.

async function server(
  t: Test,
): Promise<{ url: string; opened: () => number; closed: () => number }> {
  let opened = 0
  let closed = 0
  const sockets = new Set<Socket>()
  const listener = createServer((socket) => {
    opened++
    sockets.add(socket)
    socket.on('close', () => closed++)
    socket.on('error', () => {})
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'))
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    listener.close()
  })
  const address = listener.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { url: `http://127.0.0.1:${port}`, opened: () => opened, closed: () => closed }
}
const target = (url: string, over = {}) => ({
  name: 'a',
  url,
  authorization: null,
  connectTimeoutMs: 1_000,
  ...over,
})
const once = (pool: Pool, connection = pool.take()) =>
  new Promise<typeof connection>((resolve, reject) => {
    connection.client.dispatch(
      { path: '/', method: 'GET' },
      {
        onRequestStart() {},
        onResponseStart() {},
        onResponseData() {},
        onResponseEnd: () => resolve(connection),
        onResponseError: (_c, error) => reject(error),
      },
    )
  })

t.test('give() keeps a connection for the next request', async (t) => {
  const up = await server(t)
  const pool = new Pool(target(up.url), () => 0)
  t.teardown(() => pool.close())
  const first = await once(pool)
  t.notOk(pool.take(FRESH).reused, 'a fresh one is fresh')
  pool.give(first)
  const second = pool.take()
  t.equal(second, first)
  t.ok(second.reused)
  await once(pool, second)
  t.equal(up.opened(), 1)
  pool.give(second)
})

t.test('drop() closes the connection at once', async (t) => {
  const up = await server(t)
  const pool = new Pool(target(up.url), () => 0)
  pool.drop(await once(pool))
  while (up.closed() === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.not(pool.take(), undefined)
  t.equal(up.closed(), 1)
})

t.test('give() closes what has been idle for longer than engines keep it', async (t) => {
  const up = await server(t)
  let now = 0
  const pool = new Pool(target(up.url), () => now)
  t.teardown(() => pool.close())
  const [old, young] = [await once(pool), await once(pool)]
  pool.give(old)
  now = 4_001
  pool.give(young)
  while (up.closed() === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.equal(pool.take(), young)
  t.not(pool.take(), old)
})

t.test('sync() replaces the pool of a target that changed and keeps the others', async (t) => {
  const up = await server(t)
  const pools = new Pools(() => 0)
  pools.sync([target(up.url), target(up.url, { name: 'b' })])
  const [a, b] = [pools.get('a'), pools.get('b')]
  pools.sync([target(up.url, { authorization: 'Bearer x' }), target(up.url, { name: 'b' })])
  t.not(pools.get('a'), a)
  t.equal(pools.get('b'), b)
  pools.close()
  t.equal(pools.get('b'), undefined)
})

t.test('the system asks after 15 s of silence whether the host is there', LINUX_ONLY, async (t) => {
  const up = await server(t)
  const pool = new Pool(target(up.url), () => 0)
  await once(pool)
  const port = Number(new URL(up.url).port).toString(16).toUpperCase().padStart(4, '0')
  // proc(5): local and remote address, state, queues, then the timer: 02 is keep-alive, in 1/100 s.
  const line = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((one) => one.trim().split(/\s+/))
    .find(([, , remote]) => remote === `0100007F:${port}`)
  const [kind, when = ''] = (line?.[5] ?? '').split(':')
  t.equal(kind, '02')
  t.ok(Number.parseInt(when, 16) <= 1_500, `in ${Number.parseInt(when, 16) / 100} s`)
  pool.close()
})
