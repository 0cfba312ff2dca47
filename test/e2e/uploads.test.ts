import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import t from 'tap'
import { LINUX_ONLY } from '../support/linux-only.ts'
import { post, servedBy } from '../support/ask.ts'
import { gateOverTwo } from '../support/gates.ts'
import { megabytes, takeUploads } from '../support/fake-upload.ts'
import { fakeUpstream, type Handler } from '../support/fake-upstream.ts'
import { gateProcess } from '../support/gate-process.ts'
import { RawClient } from '../support/raw.ts'
import { startGate } from '../support/start-gate.ts'

// Goal: uploads stream through the gate byte for byte, to one upstream, never kept whole, and an
// answer that comes early is heard.
// Method: multipart over real sockets; the upstream keeps sums. Memory is the kernel's own count of
// a gate in a process of its own.

// Hundreds of megabytes go by here: on a busy machine that takes minutes, and would look like a client
// that hangs.
t.setTimeout(240_000)

/** Names a model, which is looked for in the form. */
const AUDIO = '/v1/audio/transcriptions'
/** Names none. */
const PATH = '/v1/files'
const TYPE = 'multipart/form-data; boundary=xyz'
/** The begin of a form that names a model before its file. */
const FORM = [
  '--xyz',
  'Content-Disposition: form-data; name="model"',
  '',
  'm',
  '--xyz',
  'Content-Disposition: form-data; name="file"; filename="a.wav"',
  '\r\n',
].join('\r\n')
const CHUNKED = [
  `POST ${PATH} HTTP/1.1`,
  'Host: 127.0.0.1',
  `Content-Type: ${TYPE}`,
  'Transfer-Encoding: chunked',
  '\r\n',
].join('\r\n')

function sum(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** An upload that the test feeds by hand. */
function upload(
  url: string,
  headers: Record<string, string | number> = {},
  path: string = PATH,
): ClientRequest {
  const sent = request(`${url}${path}`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': TYPE, ...headers },
  })
  sent.on('error', () => {})
  return sent
}

async function bodyOf(answer: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of answer.setEncoding('utf8')) text += String(chunk)
  return text
}

t.test('multipart arrives byte for byte, with its length and type, at one upstream', async (t) => {
  const two = await gateOverTwo(t)
  const at = { a: takeUploads(), b: takeUploads() }
  two.a.handlers.set(AUDIO, at.a.handler)
  two.b.handlers.set(AUDIO, at.b.handler)
  const file = Buffer.concat([...megabytes(3)])
  const form = new FormData()
  form.set('model', 'm')
  form.set('file', new Blob([file]), 'sound.wav')
  const encoded = new Response(form)
  const type = encoded.headers.get('content-type') ?? ''
  const body = Buffer.from(await encoded.arrayBuffer())
  const answer = await fetch(`${two.gate.url}${AUDIO}?x=1`, {
    method: 'POST',
    headers: { 'content-type': type, authorization: 'Bearer of-the-client' },
    body,
  })
  t.equal(answer.status, 200)
  t.equal(servedBy(answer), 'a')
  t.match(await answer.json(), { sha256: sum(body), bytes: body.length })
  const [got] = at.a.uploads
  t.equal(got?.url, `${AUDIO}?x=1`)
  t.equal(got?.headers['content-type'], type)
  t.equal(got?.headers['content-length'], String(body.length))
  t.equal(got?.headers['transfer-encoding'], undefined)
  t.equal(got?.headers.authorization, undefined)
  t.equal(at.b.uploads.length, 0)
})

t.test('a chunked upload stays chunked and begins to arrive before it is whole', async (t) => {
  const two = await gateOverTwo(t)
  const { handler, uploads } = takeUploads()
  two.a.handlers.set(PATH, handler)
  const sent = upload(two.gate.url)
  sent.write('first ')
  await two.gate.until(() => uploads[0]?.bytes === 6)
  t.equal(uploads[0]?.headers['transfer-encoding'], 'chunked')
  t.equal(uploads[0]?.sha256, null)
  sent.end('last')
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  t.match(JSON.parse(await bodyOf(answer)), { sha256: sum(Buffer.from('first last')) })
})

t.test('other routes and any type of body pass, and no limit of bodies is theirs', async (t) => {
  const two = await gateOverTwo(t, {}, { GENGATE_BODY_MAX_BYTES: '1024' })
  const { handler } = takeUploads()
  const body = Buffer.concat([...megabytes(1)])
  for (const path of [
    '/v1/files',
    '/v1/uploads/u1/parts',
    '/v1/images/edits',
    '/v1/audio/speech',
  ]) {
    two.a.handlers.set(path, handler)
    const answer = await fetch(`${two.gate.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body,
    })
    t.match(await answer.json(), { sha256: sum(body) }, path)
  }
})

t.test('200 MB go through the gate and are not held in it', LINUX_ONLY, async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  const { handler } = takeUploads()
  a.handlers.set(AUDIO, handler)
  const gate = await gateProcess(t, { GENGATE_UPSTREAMS: `a=${a.url}` })
  const send = async (count: number): Promise<void> => {
    const hash = createHash('sha256').update(FORM)
    const size = FORM.length + count * 1024 * 1024
    const sent = upload(gate.url, { 'content-length': size }, AUDIO)
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>
    sent.write(FORM)
    for (const part of megabytes(count)) {
      hash.update(part)
      if (!sent.write(part)) await once(sent, 'drain')
    }
    sent.end()
    const [answer] = await answered
    t.match(JSON.parse(await bodyOf(answer)), { sha256: hash.digest('hex') })
  }
  // The code is loaded and compiled.
  await send(1)
  const before = gate.rssMb()
  gate.resetPeak()
  await send(200)
  const peak = gate.peakMb()
  t.comment(`before ${before.toFixed(1)} MB, peak ${peak.toFixed(1)} MB`)
  t.ok(peak - before <= 30, `${(peak - before).toFixed(1)} MB more at the peak`)
})

t.test(
  'an upstream that does not read holds the client back, not the gate',
  LINUX_ONLY,
  async (t) => {
    const a = await fakeUpstream(t, { models: ['m'] })
    a.handlers.set(PATH, (req) => req.pause())
    const gate = await gateProcess(t, { GENGATE_UPSTREAMS: `a=${a.url}` })
    const before = gate.rssMb()
    gate.resetPeak()
    const sent = upload(gate.url, { 'content-length': 200 * 1024 * 1024 })
    let written = 0
    let full = false
    for (const part of megabytes(200)) {
      if (!sent.write(part)) {
        const drained = once(sent, 'drain').then(() => true)
        const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 1_000))
        full = !(await Promise.race([drained, late]))
        if (full) break
      }
      written += part.length
    }
    t.ok(full, 'the client waits')
    t.ok(written < 100 * 1024 * 1024, `${written} bytes went on their way`)
    t.ok(gate.peakMb() - before <= 30)
    sent.destroy()
  },
)

t.test('what waits for a slow upstream stays as it was sent', async (t) => {
  for (const headers of [{}, { 'content-length': 24 * 1024 * 1024 }]) {
    const two = await gateOverTwo(t)
    const { handler, uploads } = takeUploads()
    two.a.handlers.set(PATH, (req, res) => {
      handler(req, res)
      // A rest after every megabyte or so: its socket fills, and the gate has to keep some.
      let sinceRest = 0
      req.on('data', (chunk: Buffer) => {
        sinceRest += chunk.length
        if (sinceRest < 1024 * 1024) return
        sinceRest = 0
        req.pause()
        setTimeout(() => req.resume(), 20)
      })
    })
    const sent = upload(two.gate.url, headers)
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>
    const hash = createHash('sha256')
    for (const part of megabytes(24)) {
      hash.update(part)
      if (!sent.write(part)) await once(sent, 'drain')
    }
    sent.end()
    const [answer] = await answered
    t.equal(answer.statusCode, 200)
    await bodyOf(answer)
    t.equal(uploads[0]?.sha256, hash.digest('hex'))
  }
})

t.test('a client that leaves in the middle stops the upstream, and blames nobody', async (t) => {
  for (const headers of [{}, { 'content-length': 1_000_000 }]) {
    const two = await gateOverTwo(t)
    const at = { a: takeUploads(), b: takeUploads() }
    two.a.handlers.set(PATH, at.a.handler)
    two.b.handlers.set(PATH, at.b.handler)
    const sent = upload(two.gate.url, headers)
    sent.write('some')
    await two.gate.until(() => at.a.uploads[0]?.bytes === 4)
    sent.destroy()
    await two.gate.until(() => at.a.uploads[0]?.closed === true)
    t.equal(at.a.uploads[0]?.sha256, null, 'it never looked whole')
    await two.gate.until(() => two.gate.lines.some((line) => line.includes('client_gone')))
    t.match(two.gate.reason('a'), /^ok/)
    t.equal(at.b.uploads.length, 0)
    t.notOk(two.gate.lines.some((line) => /\bbug\b/.test(line)))
  }
})

t.test('an answer that comes before the body is read reaches the client', async (t) => {
  for (const close of [true, false]) {
    for (const size of [undefined, 64 * 1024 * 1024]) {
      const name = `${close ? 'closing' : 'keeping'}, ${size === undefined ? 'chunked' : 'length'}`
      await t.test(name, async (t) => {
        const two = await gateOverTwo(t)
        two.a.handlers.set(PATH, (req, res) => {
          req.on('error', () => {})
          const head = {
            'content-type': 'application/json',
            ...(close ? { connection: 'close' } : {}),
          }
          res.writeHead(413, head).end('{"error":{"message":"too large"}}')
        })
        const client = new RawClient(two.gate.port)
        const head =
          size === undefined
            ? CHUNKED
            : CHUNKED.replace('Transfer-Encoding: chunked', `Content-Length: ${size}`)
        client.send(head)
        client.send(size === undefined ? '4\r\nsome\r\n' : 'some')
        const answer = await client.answer()
        t.equal(answer?.status, 413)
        t.equal(answer?.body, '{"error":{"message":"too large"}}')
        t.match(two.gate.reason('a'), /^ok/)
        t.ok(await client.isClosed(), 'a client that neither finishes nor leaves is cut off')
        t.equal((await fetch(`${two.gate.url}/livez`)).status, 200, 'and the gate is alive')
      })
    }
  }
})

t.test('a client that goes on sending after an early answer still reads it', async (t) => {
  const two = await gateOverTwo(t)
  two.a.handlers.set(PATH, (req, res) => {
    // As a good server does: what the client still sends is read and dropped.
    req.on('error', () => {}).resume()
    res.writeHead(413, { 'content-type': 'application/json' })
    res.end('{"error":{"message":"too large"}}')
  })
  for (let i = 0; i < 5; i++) {
    const sent = upload(two.gate.url, { 'content-length': 20 * 1024 * 1024 })
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>
    const read = answered.then(([answer]) => bodyOf(answer).then((text) => [answer, text] as const))
    const gone = read.then(
      () => true,
      () => true,
    )
    for (const part of megabytes(20)) {
      if (sent.destroyed) break
      if (!sent.write(part)) await Promise.race([once(sent, 'drain').catch(() => {}), gone])
    }
    sent.end()
    const [answer, text] = await read
    t.equal(answer.statusCode, 413)
    t.equal(text, '{"error":{"message":"too large"}}')
  }
})

t.test('an upload whose upstream is down is 502 and closes the connection', async (t) => {
  const two = await gateOverTwo(t)
  await two.a.refuse()
  const client = new RawClient(two.gate.port)
  client.send(CHUNKED).send('4\r\nsome\r\n')
  const answer = await client.answer()
  t.equal(answer?.status, 502)
  t.match(JSON.parse(answer?.body ?? '{}'), { error: { code: 'upstream_unreachable' } })
  t.ok(await client.isClosed())
})

t.test('an upload that nobody can have is 503 and closes the connection', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  await a.refuse()
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}`, GENGATE_HOLD_MS: '50' })
  const client = new RawClient(gate.port)
  client.send(CHUNKED).send('4\r\nsome\r\n')
  const answer = await client.answer()
  t.equal(answer?.status, 503)
  t.ok(await client.isClosed())
})

t.test('an upload is never sent twice, whatever becomes of it', async (t) => {
  const faults: readonly [number, RegExp, Handler][] = [
    [502, /upstream_unreachable/, (req) => req.once('data', () => req.socket.resetAndDestroy())],
    [
      500,
      /^\{"error":"boom"\}$/,
      (req, res) => req.resume().on('end', () => res.writeHead(500).end('{"error":"boom"}')),
    ],
  ]
  for (const [status, body, fault] of faults) {
    const two = await gateOverTwo(t)
    const at = takeUploads()
    two.b.handlers.set(PATH, at.handler)
    two.a.handlers.set(PATH, fault)
    const headers = { 'content-type': TYPE }
    const answer = await fetch(`${two.gate.url}${PATH}`, { method: 'POST', headers, body: 'some' })
    t.equal(answer.status, status)
    t.match(await answer.text(), body)
    t.equal(at.uploads.length, 0)
  }
})

t.test('a spoken answer, bytes of any kind, comes back as it is', async (t) => {
  const two = await gateOverTwo(t)
  const sound = Buffer.concat([...megabytes(2)])
  two.a.handlers.set('/v1/audio/speech', (req, res) => {
    req.resume()
    res.writeHead(200, { 'content-type': 'audio/mpeg' }).end(sound)
  })
  const answer = await post(`${two.gate.url}/v1/audio/speech`, JSON.stringify({ input: 'hi' }))
  t.equal(answer.headers.get('content-type'), 'audio/mpeg')
  t.equal(sum(Buffer.from(await answer.arrayBuffer())), sum(sound))
})
