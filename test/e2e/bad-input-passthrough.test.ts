import t, { type Test } from 'tap'
import {
  ask,
  askMore,
  crashesDuring,
  each,
  type Fate,
  get,
  GOOD,
  type Input,
  isError,
  isSound,
  JSON_LINE,
  RawClient,
  refuses,
  request,
  startPair,
  words,
} from '../support/raw.ts'

// Rows of docs/bad-input.md that are shown here: form-elsewhere.

// Goal: what goes on unread is guarded like the rest, arrives unchanged, and arrives whole or not
// at all (bad-input matrix B01–B11, B20, B22–B24, B26–B28, B38, B39 on the other lanes).
// Method: raw sockets against a gate with an upstream behind it, one row per input.

const pair = await startPair(t)
const CHUNKED = 'Transfer-Encoding: chunked'
const MULTIPART = 'Content-Type: multipart/form-data; boundary=x'
const AUDIO = '/v1/audio/voices'
const FORM = '--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n\xff\x00a\r\n--x--\r\n'
const LANES = [AUDIO, '/v1/files', '/v1/whatever', '/v1/responses', '/v1/messages', '/v2/rerank']
const CHUNKS = request('POST', AUDIO, { lines: [MULTIPART, CHUNKED] })
const post = (path: string, lines: readonly string[]): string =>
  request('POST', path, { lines, body: FORM })

const ORIGIN: Fate = [403, 'origin_not_allowed', 'usable']
for (const from of ['Origin: https://evil.example', 'Origin: null', 'Sec-Fetch-Site: cross-site'])
  for (const type of [MULTIPART, 'Content-Type: text/plain'])
    refuses(
      t,
      pair,
      ORIGIN,
      each(
        `B22, B23, B24 ${type}, ${from}`,
        [AUDIO, '/v1/files', '/v1/images/edits', '/v1/whatever', '/v1/responses', '/rerank'],
        (path) => post(path, [from, type]),
      ),
    )
refuses(t, pair, ORIGIN, [
  ...each('B22 a page asks with', words('GET DELETE PUT PATCH'), (method) =>
    request(method, '/v1/files/x', { lines: ['Origin: https://evil.example'] }),
  ),
  [
    'B23 a page links to a file as if it were a picture',
    get('/v1/files/x/content', ['Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: no-cors']),
  ],
])
for (const types of [
  [MULTIPART],
  ['Content-Type: text/plain'],
  ['Content-Type: application/x-www-form-urlencoded'],
  [],
])
  refuses(
    t,
    pair,
    [415, 'unsupported_media_type', 'usable'],
    each(
      `B24 ${types.join()}`,
      words('/v1/chat/completions /v1/chat/completions/ /v1/messages /tokenize'),
      (path) => post(path, types),
    ),
  )
const OUT = words('/../../metrics /%2e%2e/x /..%2fx /..;/x //x /%252e%252e \\x /%00 /% /.')
for (const method of ['POST', 'DELETE'])
  refuses(
    t,
    pair,
    [400, 'bad_path', 'usable'],
    LANES.flatMap((path) =>
      each(`B26, B27, B28 ${method} ${path}`, OUT, (out) =>
        request(method, path + out, { lines: [JSON_LINE], body: GOOD }),
      ),
    ),
  )
const framed = (lines: string[], body: string, version = '1.1'): string =>
  request('POST', AUDIO, { lines: [MULTIPART, ...lines], version }) + body
refuses(
  t,
  pair,
  [400, 'bad_framing', 'closed'],
  [
    ['B01 both lengths', framed(['Content-Length: 6', CHUNKED], '0\r\n\r\nX')],
    ['B02 two lengths', framed(['Content-Length: 3', 'Content-Length: 4'], 'abcd')],
    ['B03 a signed length', framed(['Content-Length: +4'], 'abcd')],
    ['B04 unknown coding', framed(['Transfer-Encoding: xchunked'], '1\r\na\r\n0\r\n\r\n')],
    ['B06 a coding in HTTP/1.0', framed([CHUNKED], '1\r\na\r\n0\r\n\r\n', '1.0')],
    ['B09 an underscore', framed([CHUNKED], '0_1\r\na\r\n0\r\n\r\n')],
  ].map(([name, bytes]): Input => [`${name}, on an upload`, String(bytes)]),
)

/** What the upstream has of one request, in bytes, and whether it thinks that it has all. */
interface Arrival {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, unknown>>
  body: string
  whole: boolean
  cut: boolean
}

/** Takes what comes at these paths, and answers a whole request. */
function arrivals(paths: readonly string[], status = 200): Arrival[] {
  const all: Arrival[] = []
  for (const path of paths) {
    pair.upstream.handlers.set(path, (request, response) => {
      const { method = '', url = '', headers } = request
      const one: Arrival = { method, url, headers, body: '', whole: false, cut: false }
      all.push(one)
      request.on('data', (chunk: Buffer) => (one.body += chunk.toString('latin1')))
      request.on('aborted', () => (one.cut = true))
      request.on('error', () => {})
      request.on('end', () => {
        one.whole = true
        response.writeHead(status, { 'content-type': 'application/x-own', 'x-own': 'yes' })
        response.end('{"own" : 1.0}')
      })
    })
  }
  return all
}

for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'POST']) {
  t.test(`B20 ${method} goes to the upstream unchanged, and its 404 comes back`, async (t) => {
    const seen = arrivals(['/v1/files/a'], 404)
    const send = request(method, '/v1/files/a?b=%20c&b=%2F&e=', { lines: [MULTIPART], body: FORM })
    t.match(await askMore(t, pair.gate, send), {
      status: 404,
      headers: {
        'x-gengate-upstream': 'a',
        'x-request-id': /./,
        'x-own': 'yes',
        'content-type': 'application/x-own',
      },
      body: '{"own" : 1.0}',
    })
    t.match(seen, [{ method, url: '/v1/files/a?b=%20c&b=%2F&e=', body: FORM, whole: true }])
    t.equal(seen[0]?.headers['content-type'], MULTIPART.slice(14))
    t.equal(seen[0]?.headers['content-length'], String(FORM.length))
  })
}

t.test('B20 HEAD goes to the upstream, and its answer has no body', async (t) => {
  const seen = arrivals(['/v1/files/a'])
  const answer = await askMore(t, pair.gate, request('HEAD', '/v1/files/a'), { head: true })
  t.match(answer, { status: 200, headers: { 'x-own': 'yes' } })
  t.match(seen, [{ method: 'HEAD', body: '' }])
})

t.test('B28 paths that are no lane are paths like any other, with one spelling', async (t) => {
  for (const [target, url] of [
    ['/v1/@evil.example', '/v1/@evil.example'],
    ['/v1/CHAT/completions', '/v1/CHAT/completions'],
    ['/v1/whatever/', '/v1/whatever/'],
    ['/v1/chat/completions%3bx=1', '/v1/chat/completions;x=1'],
    ['/v1/chat/completions%20', '/v1/chat/completions%20'],
    ['/v1/*', '/v1/*'],
    ['/%761/f%69les/%C3%A9', '/v1/files/%C3%A9'],
  ] as const) {
    const before = pair.upstream.seen.length
    const send = request('POST', target, { lines: [JSON_LINE], body: GOOD })
    const answer = await ask(pair.gate, send)
    t.match(answer, { status: 404, headers: { 'x-gengate-upstream': 'a' } }, target)
    const [seen] = pair.upstream.seen.slice(before).filter(({ headers }) => headers.via)
    t.match(seen, { url, body: GOOD, headers: { host: `127.0.0.1:${pair.upstream.port}` } })
  }
  isError(t, await ask(pair.gate, get('/v1/')), 404, 'not_found')
})

t.test('B24 an upload without Origin goes on byte for byte, whatever its type', async (t) => {
  const paths = [AUDIO, '/v1/whatever', '/v1/batches']
  const seen = arrivals(paths)
  const chunks = `5\r\n${FORM.slice(0, 5)}\r\n${(FORM.length - 5).toString(16)}\r\n${FORM.slice(5)}\r\n0\r\n\r\n`
  for (const type of [MULTIPART, 'Content-Type: audio/wav', 'Content-Type: text/plain', null]) {
    const lines = type === null ? [] : [type]
    for (const send of [
      ...paths.map((path) => post(path, lines)),
      request('POST', AUDIO, { lines: [...lines, CHUNKED] }) + chunks,
    ]) {
      t.equal((await askMore(t, pair.gate, send))?.status, 200)
      t.match(seen.pop(), { body: FORM, whole: true, headers: { via: /gengate/ } })
    }
  }
})

t.test('B24 a request without a body needs no type', async (t) => {
  const seen = arrivals(['/v1/whatever'])
  const client = new RawClient(pair.gate.port)
  for (const lines of [[], ['Content-Length: 0']]) {
    client.send(request('POST', '/v1/whatever', { lines }))
    t.equal((await client.answer())?.status, 200)
  }
  t.equal(seen.length, 2)
  t.match(seen[0]?.headers, { 'content-length': '0' })
  client.destroy()
})

t.test('B10 trailers of a body that goes on are dropped', async (t) => {
  const seen = arrivals([AUDIO])
  const trailers = 'Host: evil\r\nAuthorization: evil\r\n'
  const send = framed([CHUNKED, 'Trailer: Host'], `3\r\nabc\r\n0\r\n${trailers}\r\n`)
  t.equal((await ask(pair.gate, send))?.status, 200)
  t.match(seen, [{ body: 'abc', whole: true }])
  t.notMatch(JSON.stringify(seen), /evil|"trailer"/)
})

t.test('B11 a length that lies: what is beyond it is no body and no request', async (t) => {
  const seen = arrivals([AUDIO])
  const lines = [MULTIPART, 'Content-Length: 3']
  const client = new RawClient(pair.gate.port).send(
    `${request('POST', AUDIO, { lines })}helloDELETE /v1/files/a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`,
  )
  t.equal((await client.answer())?.status, 200)
  isError(t, await client.answer(), 400, 'bad_framing')
  t.ok(await client.isClosed())
  t.match(seen, [{ body: 'hel', whole: true, headers: { 'content-length': '3' } }])
})

/** Sends a body in part, waits until the upstream has some of it, then does `next`. */
async function cutHalfWay(
  t: Test,
  how: { path: string; method?: string; lines: string[]; part: string },
  next: (client: RawClient) => unknown,
): Promise<void> {
  const { path, method = 'POST', lines, part } = how
  const seen = arrivals([path])
  const head = request(method, path, { lines: [JSON_LINE, ...lines] })
  const client = new RawClient(pair.gate.port).send(head + part)
  await pair.gate.until(() => seen[0]?.body === 'hello')
  next(client)
  await pair.gate.until(() => seen[0]?.cut === true)
  const answer = await client.answer()
  if (answer !== null) isError(t, answer, 400, 'bad_framing')
  t.ok(await client.isClosed())
  client.destroy()
  t.match(seen, [{ body: 'hello', whole: false, cut: true }])
  t.equal(seen.length, 1, 'and it is not sent again')
}

const CUTS: Record<string, (client: RawClient) => unknown> = {
  'the client leaves': (client) => client.destroy(),
  'the client resets': (client) => client.socket.resetAndDestroy(),
  'the client says that this is the end': (client) => client.socket.end(),
}
const LENGTH = ['Content-Length: 10']
for (const [name, next] of Object.entries(CUTS)) {
  t.test(`B38 a body cut half way is cut for the upstream, too: ${name}`, async (t) => {
    for (const path of [AUDIO, '/v1/whatever']) {
      await cutHalfWay(t, { path, lines: LENGTH, part: 'hello' }, next)
      await cutHalfWay(t, { path, lines: [CHUNKED], part: '5\r\nhello\r\n' }, next)
      await cutHalfWay(t, { path, lines: [CHUNKED], part: '5\r\nhello\r\n0\r\n' }, next)
    }
    for (const method of ['GET', 'PUT', 'DELETE'])
      await cutHalfWay(t, { method, path: '/v1/files/a', lines: LENGTH, part: 'hello' }, next)
  })
}

for (const bad of ['zz\r\n', '0_1\r\na\r\n', '2\n{}', 'FFFFFFFFFFFFFFFFF\r\n', '1\r\naa\r\n']) {
  t.test(`B09 chunk ${JSON.stringify(bad)} after a good one ends no request`, async (t) => {
    const how = { path: AUDIO, lines: [CHUNKED], part: '5\r\nhello\r\n' }
    const asked = arrivals([AUDIO])
    await cutHalfWay(t, how, (client) => client.send(`${bad}0\r\n\r\n`))
    t.equal(asked.length, 0)
  })
}
t.test('B09, B10 a bad trailer ends no request', async (t) => {
  const how = { path: AUDIO, lines: [CHUNKED], part: '5\r\nhello\r\n' }
  await cutHalfWay(t, how, (client) => client.send('0\r\nX A: b\r\n\r\n'))
})

t.test('B01, B09 bytes that are bad from the start arrive cut, if at all', async (t) => {
  const seen = arrivals([AUDIO])
  for (const body of [
    '5\r\nhello\r\nzz\r\n',
    '5\r\nhelloX\r\n0\r\n\r\n',
    '5\r\nhello\r\n-0\r\n\r\n',
  ]) {
    const client = new RawClient(pair.gate.port).send(CHUNKS + body)
    isError(t, await client.answer(), 400, 'bad_framing')
    t.ok(await client.isClosed())
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  t.notOk(seen.some(({ whole }) => whole))
})

for (const early of ['answers', 'resets'] as const) {
  t.test(`B51 an upstream that ${early} before it has the body ends one request`, async (t) => {
    const crashes = await crashesDuring(async () => {
      pair.upstream.handlers.set(AUDIO, (request, response) => {
        if (early === 'resets') return void request.socket.resetAndDestroy()
        response.writeHead(413, { 'content-type': 'application/json' }).end('{"error":"large"}')
      })
      // One that sends all, one that stalls half-way, and one that never ends its chunks.
      for (const send of [
        post(AUDIO, [MULTIPART]),
        request('POST', AUDIO, { lines: [MULTIPART, ...LENGTH], bare: true, body: 'hello' }),
        `${CHUNKS}5\r\nhello\r\n`,
      ]) {
        const client = new RawClient(pair.gate.port).send(send)
        const answer = await client.answer()
        t.equal(answer?.status, early === 'answers' ? 413 : 502)
        const whole = send.endsWith(FORM)
        if (!whole) t.ok(await client.isClosed(3_500), 'what it still sends is read by nobody')
        client.destroy()
      }
    })
    t.strictSame(crashes, [], 'and not the process')
    await isSound(t, pair)
  })
}

t.test('B39 OPTIONS is answered here: it needs no key, so it reaches no upstream', async (t) => {
  const locked = await startPair(t, { GENGATE_API_KEYS: 'key', GENGATE_A_API_KEY: 'upstream-key' })
  for (const path of ['/v1/files/x', '/v1/chat/completions', '/v1/whatever'])
    for (const how of [{}, { lines: ['Content-Type: text/plain'], body: 'hello' }]) {
      const answer = await ask(locked.gate, request('OPTIONS', path, how))
      isError(t, answer, [401, 405], ['invalid_api_key', 'method_not_allowed'])
    }
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']) {
    const send = request(method, AUDIO, { lines: [MULTIPART], body: FORM })
    t.equal((await ask(locked.gate, send, { head: method === 'HEAD' }))?.status, 401, method)
  }
  t.strictSame(locked.forwarded(), [])
})

t.test('the gate is sound after all of it', (t) => isSound(t, pair))
