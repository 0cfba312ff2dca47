import t from 'tap'
import {
  chat,
  CHAT,
  get,
  GOOD,
  isError,
  isSound,
  JSON_LINE,
  RawClient,
  request,
  startPair,
} from '../support/raw.ts'

// Goal: a client that sends slowly, or not at all, is let go in bounded time and holds nothing
// (bad-input matrix B51, B52, B65).
// Method: all kinds of slowness at once, since each takes its ten seconds.

const pair = await startPair(t)
const open = (bytes = '') => {
  const client = new RawClient(pair.gate.port)
  return bytes === '' ? client : client.send(bytes)
}
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const half = chat({
  bare: true,
  body: GOOD.slice(0, 20),
  lines: [`Content-Length: ${GOOD.length}`],
})

t.test('slow clients', { jobs: 8 }, async (t) => {
  t.test('B52 300 heads that arrive byte by byte are closed', async (t) => {
    const slow = Array.from({ length: 300 }, () =>
      open('GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: '),
    )
    const drip = setInterval(() => {
      for (const client of slow) if (!client.closed) client.send('a')
    }, 1_000)
    await pause(2_000)
    await isSound(t, pair)
    const [first] = slow
    if (first !== undefined)
      isError(t, await first.answer({ limitMs: 11_000 }), 408, 'request_timeout')
    const closed = await Promise.all(slow.map((client) => client.isClosed(13_000)))
    clearInterval(drip)
    t.equal(closed.filter(Boolean).length, 300)
    for (const client of slow) client.destroy()
  })

  t.test('B65 1000 connections without a request neither starve others nor stay', async (t) => {
    const idle: RawClient[] = []
    // Not all in one instant: what a listener's queue cannot hold never reaches the gate.
    while (idle.length < 1_000) {
      idle.push(...Array.from({ length: 100 }, () => open()))
      await pause(50)
    }
    await pause(500)
    await isSound(t, pair)
    const closed = await Promise.all(idle.map((client) => client.isClosed(14_000)))
    t.equal(closed.filter(Boolean).length, 1_000)
    for (const client of idle) client.destroy()
  })

  t.test('B51 a body that stalls half-way is a 408 and a closed connection', async (t) => {
    const client = open(half)
    isError(t, await client.answer({ limitMs: 13_000 }), 408, 'request_timeout')
    t.ok(await client.isClosed())
  })

  t.test('B51 a body that never begins is a 408, too', async (t) => {
    const client = open(request('POST', CHAT, { lines: [JSON_LINE, 'Content-Length: 10'] }))
    isError(t, await client.answer({ limitMs: 13_000 }), 408, 'request_timeout')
    t.ok(await client.isClosed())
  })

  t.test('B51 a body of some bytes a second is let go, too', async (t) => {
    const client = open(chat({ bare: true, body: '{', lines: ['Content-Length: 100000'] }))
    const drip = setInterval(() => client.send(' '), 500)
    isError(t, await client.answer({ limitMs: 14_000 }), 408, 'request_timeout')
    clearInterval(drip)
    t.ok(await client.isClosed())
    client.destroy()
  })

  t.test('B51 a refused request whose body never ends is closed', async (t) => {
    const client = open(
      request('POST', CHAT, {
        lines: ['Content-Type: text/plain', 'Content-Length: 1000'],
        body: 'x',
        bare: true,
      }),
    )
    isError(t, await client.answer(), 415, 'unsupported_media_type')
    t.ok(await client.isClosed(4_000))
  })

  t.test('B52 a second head that stalls on a used connection is closed, too', async (t) => {
    const client = open(`${get('/livez')}GET /livez HT`)
    t.equal((await client.answer())?.status, 200)
    t.ok(await client.isClosed(14_000))
  })

  t.test('B52 the body of a stalled client holds no slot of the upstream', async (t) => {
    const clients = Array.from({ length: 20 }, () => open(half))
    await pause(300)
    const status = (await (await fetch(`${pair.gate.url}/gate/status`)).json()) as {
      upstreams: { in_flight: number }[]
    }
    t.ok((status.upstreams[0]?.in_flight ?? 99) <= 1, 'but for a request of another test')
    for (const client of clients) client.destroy()
  })
})

t.test('the gate is sound after all of it', (t) => isSound(t, pair))
