import { once } from 'node:events'
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { servedBy } from '../support/ask.ts'
import t from 'tap'
import { LINUX_ONLY } from '../support/linux-only.ts'
import { forwarded, gateOverTwo, type Two } from '../support/gates.ts'
import { type FakeUpstream, fakeUpstream } from '../support/fake-upstream.ts'
import { gateProcess } from '../support/gate-process.ts'
import { get, RawClient, request as raw } from '../support/raw.ts'
import { startGate } from '../support/start-gate.ts'

// Rows of docs/bad-input.md that are shown here: range-of-a-file.

// Goal: every other method and path under /v1 reaches the first servable upstream, and its answer
// comes back as it is: status, headers, body, framing.
// Method: an upstream route that says what it got, or that answers as the test wants.

const PATH = '/v1/batches/b1'

/** Answers with what it got. */
function echo(req: IncomingMessage, res: ServerResponse): void {
  let body = ''
  req.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
  req.on('end', () => {
    const { method, url, headers } = req
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(JSON.stringify({ method, url, headers, body }))
  })
}

/** Answers with this, to whatever. */
function says(status: number, headers: Record<string, string | string[]>, body = '') {
  return (req: IncomingMessage, res: ServerResponse): void => {
    req.resume()
    res.writeHead(status, headers).end(body)
  }
}

async function over(t: Parameters<typeof gateOverTwo>[0], handler = echo): Promise<Two> {
  const two = await gateOverTwo(t)
  two.a.handlers.set(PATH, handler)
  return two
}

const JSON_TYPE = { 'content-type': 'application/json' }

t.test('request headers: harmless ones go on, those of hop and client stay', async (t) => {
  const two = await over(t)
  const client = new RawClient(two.gate.port)
  const lines = [
    'OpenAI-Beta: assistants=v2',
    'Accept-Language: de',
    'X-Stainless-Lang: js',
    'Authorization: Bearer of-the-client',
    'Cookie: a=b',
    'Connection: keep-alive, OpenAI-Organization',
    'OpenAI-Organization: named-by-connection',
    'Keep-Alive: timeout=9',
    'TE: trailers',
    'X-Forwarded-For: 1.2.3.4',
  ]
  client.send(get(PATH, lines))
  const { headers } = JSON.parse((await client.answer())?.body ?? '{}') as {
    headers: Record<string, string>
  }
  t.match(headers, {
    'openai-beta': 'assistants=v2',
    'accept-language': 'de',
    'x-stainless-lang': 'js',
    'accept-encoding': 'identity',
    via: /^1\.1 gengate-/,
    'x-request-id': /./,
    host: two.a.url.slice('http://'.length),
  })
  for (const name of ['authorization', 'cookie', 'openai-organization', 'keep-alive', 'te']) {
    t.equal(headers[name], undefined, name)
  }
  t.equal(headers['x-forwarded-for'], undefined)
  t.equal(headers['content-type'], undefined)
  t.equal(headers['content-length'], undefined)
  t.ok(await client.isUsable())
  client.destroy()
})

t.test('a part of a file: Range goes on, and 206 comes back', async (t) => {
  const head = { ...JSON_TYPE, 'content-range': 'bytes 0-1/9', 'content-length': '2', etag: '"e"' }
  const two = await over(t, says(206, head, 'ab'))
  const headers = { range: 'bytes=0-1', 'if-range': '"e"' }
  const answer = await fetch(`${two.gate.url}${PATH}`, { headers })
  t.equal(answer.status, 206)
  t.equal(answer.headers.get('content-range'), 'bytes 0-1/9')
  t.equal(await answer.text(), 'ab')
  t.match(forwarded(two.a, PATH)[0]?.headers, headers)
})

t.test('answer headers: its own come back, those of hop and browser do not', async (t) => {
  const headers = {
    ...JSON_TYPE,
    'openai-processing-ms': '7',
    'content-length': '2',
    etag: '"e"',
    'x-many': ['1', '2'],
    connection: 'keep-alive, x-hop',
    'x-hop': 'for the gate',
    'keep-alive': 'timeout=5',
    'set-cookie': ['a=b'],
    'access-control-allow-origin': '*',
    'x-gengate-upstream': 'forged',
  }
  const two = await over(t, says(200, headers, '{}'))
  const answer = await fetch(`${two.gate.url}${PATH}`)
  t.equal(answer.headers.get('openai-processing-ms'), '7')
  t.equal(answer.headers.get('etag'), '"e"')
  t.equal(answer.headers.get('x-many'), '1, 2')
  t.equal(answer.headers.get('content-length'), '2')
  for (const name of ['x-hop', 'set-cookie', 'access-control-allow-origin']) {
    t.equal(answer.headers.get(name), null, name)
  }
  t.equal(servedBy(answer), 'a')
})

t.test('an answer of any status comes back unchanged, and blames nobody', async (t) => {
  const two = await over(t)
  const bodies = {
    301: 'moved',
    401: '{"error":"Unauthorized"}',
    404: '{"detail":"Not Found"}',
    405: '{"detail":"Method Not Allowed"}',
    409: '',
    422: '{"detail":[{"loc":["body","x"],"msg":"field required"}]}',
    429: '{"error":{"message":"slow down"}}',
    500: '{"error":{"message":"boom"}}',
    503: 'no JSON at all',
  }
  for (const [status, body] of Object.entries(bodies)) {
    two.a.handlers.set(PATH, says(Number(status), { ...JSON_TYPE, 'x-own': 'yes' }, body))
    const answer = await fetch(`${two.gate.url}${PATH}`, { redirect: 'manual' })
    t.equal(answer.status, Number(status))
    t.equal(await answer.text(), body)
    t.equal(answer.headers.get('x-own'), 'yes')
    t.equal(servedBy(answer), 'a', `${status} does not fail over`)
  }
  t.match(two.gate.reason('a'), /^ok/)
  t.equal(forwarded(two.b, PATH).length, 0)
})

t.test('HEAD and an empty 204 have no body and keep their connection', async (t) => {
  const two = await over(t, says(200, { ...JSON_TYPE, 'content-length': '1234' }))
  const client = new RawClient(two.gate.port)
  client.send(raw('HEAD', PATH))
  const head = await client.answer({ head: true })
  t.equal(head?.status, 200)
  t.equal(head?.headers['content-length'], '1234')
  t.equal(client.rest, '')
  t.ok(await client.isUsable())
  two.a.handlers.set(PATH, says(204, { 'x-own': 'yes' }))
  client.send(raw('DELETE', PATH))
  const empty = await client.answer()
  t.equal(empty?.status, 204)
  t.equal(empty?.headers['x-own'], 'yes')
  t.equal(empty?.headers['content-length'], undefined)
  t.equal(empty?.headers['transfer-encoding'], undefined)
  t.ok(await client.isUsable())
  two.a.handlers.set(PATH, says(304, { etag: '"e"' }))
  client.send(get(PATH))
  t.equal((await client.answer())?.status, 304)
  t.ok(await client.isUsable())
  t.equal(client.rest, '')
  client.destroy()
})

t.test('an event stream flushes its head at once, and events one by one', async (t) => {
  let stream: ServerResponse | null = null
  const two = await over(t, (req, res) => {
    req.resume()
    res.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    stream = res
  })
  const client = new RawClient(two.gate.port)
  client.send(get(PATH))
  await two.gate.until(() => client.rest.includes('\r\n\r\n'), 2_000)
  t.match(client.rest, /^HTTP\/1\.1 200 /)
  t.match(client.rest, /content-type: text\/event-stream/i)
  t.match(client.rest, /x-accel-buffering: no/i)
  for (const event of ['data: one\n\n', 'data: two\n\n']) {
    ;(stream as ServerResponse | null)?.write(event)
    await two.gate.until(() => client.rest.includes(event), 2_000)
  }
  ;(stream as ServerResponse | null)?.end()
  t.equal((await client.answer())?.body, 'data: one\n\ndata: two\n\n')
  t.ok(await client.isUsable())
  client.destroy()
})

t.test('an answer that breaks off never ends cleanly, and nothing is put into it', async (t) => {
  for (const [name, headers] of [
    ['length', { ...JSON_TYPE, 'content-length': '100' }],
    ['chunked', JSON_TYPE],
    ['events', { 'content-type': 'text/event-stream' }],
  ] as const) {
    for (const how of ['reset', 'fin'] as const) {
      const two = await over(t, (req, res) => {
        req.resume()
        res.writeHead(200, headers).write('data: {"half":')
        setTimeout(() => (how === 'reset' ? res.socket?.resetAndDestroy() : res.socket?.end()), 30)
      })
      const client = new RawClient(two.gate.port)
      client.send(get(PATH))
      t.ok(await client.isClosed(), `${name}, ${how}`)
      t.match(client.rest, 'data: {"half":')
      t.notMatch(client.rest, '0\r\n\r\n')
      // In the middle of an event: what follows belongs to that event for every reader.
      t.notMatch(client.rest, /"half":(\r\n[0-9a-f]+\r\n)?data:/)
    }
  }
})

t.test('a client that leaves stops the upstream', async (t) => {
  let closed = false
  const two = await over(t, (req, res) => {
    req.resume()
    res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: one\n\n')
    res.on('close', () => (closed = true))
  })
  const leaving = new AbortController()
  const answer = await fetch(`${two.gate.url}${PATH}`, { signal: leaving.signal })
  await answer.body?.getReader().read()
  leaving.abort()
  await two.gate.until(() => closed)
  t.match(two.gate.reason('a'), /^ok/)
})

t.test('one that breaks is not replaced: nobody knows what it has done', async (t) => {
  for (const method of ['GET', 'POST', 'DELETE']) {
    const two = await over(t, (req) => void req.socket.resetAndDestroy())
    two.b.handlers.set(PATH, echo)
    const answer = await fetch(`${two.gate.url}${PATH}`, {
      method,
      ...(method === 'POST' ? { body: '{}', headers: JSON_TYPE } : {}),
    })
    t.equal(answer.status, 502, method)
    t.match(await answer.json(), { error: { code: 'upstream_unreachable' } })
    t.equal(forwarded(two.b, PATH).length, 0)
  }
})

t.test('one that is known to be down is passed over', async (t) => {
  const two = await over(t)
  two.b.handlers.set(PATH, echo)
  await two.a.refuse()
  t.equal((await fetch(`${two.gate.url}${PATH}`)).status, 502, 'the first one tells')
  t.equal(servedBy(await fetch(`${two.gate.url}${PATH}`)), 'b')
})

t.test('nobody to serve it is 503 with the reason', async (t) => {
  const a = await fakeUpstream(t)
  await a.refuse()
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}`, GENGATE_HOLD_MS: '50' })
  await gate.untilReason('a', 'refused')
  const answer = await fetch(`${gate.url}${PATH}`)
  t.equal(answer.status, 503)
  t.match(await answer.json(), { error: { code: 'no_eligible_upstream', message: /\ba\b/ } })
})

t.test('an answer that comes late is waited for', async (t) => {
  const two = await over(t, (req, res) => {
    req.resume()
    setTimeout(() => res.writeHead(200, JSON_TYPE).end('{"late":true}'), 1_500)
  })
  t.match(await (await fetch(`${two.gate.url}${PATH}`)).json(), { late: true })
})

t.test('a client that reads slowly costs no memory', LINUX_ONLY, async (t) => {
  const a: FakeUpstream = await fakeUpstream(t, { models: ['m'] })
  let written = 0
  const block = Buffer.alloc(64 * 1024, 'x')
  a.handlers.set(PATH, (req, res) => {
    req.resume()
    res.writeHead(200, { 'content-type': 'application/octet-stream' })
    const more = (): void => {
      while (written < 200 * 1024 * 1024 && !res.destroyed) {
        written += block.length
        if (!res.write(block)) return void res.once('drain', more)
      }
      res.end()
    }
    more()
  })
  const gate = await gateProcess(t, { GENGATE_UPSTREAMS: `a=${a.url}` })
  const before = gate.rssMb()
  gate.resetPeak()
  const asked = request(`${gate.url}${PATH}`, { agent: false }).end()
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  answer.pause()
  // Until nothing moves any more.
  for (let last = -1; last !== written;) {
    last = written
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
  const growth = gate.peakMb() - before
  t.comment(`${(written / 1024 / 1024).toFixed(1)} MB sent, ${growth.toFixed(1)} MB more`)
  t.ok(written < 100 * 1024 * 1024, 'the upstream is held back')
  t.ok(growth <= 25, `${growth.toFixed(1)} MB more`)
  asked.destroy()
})
