import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { CHAT, chat, GOOD, isError, JSON_LINE, RawClient, request, words } from '../support/raw.ts'
import { gateOverRaw } from '../support/gates.ts'
import { answerOf, json, rawUpstream } from '../support/raw-upstream.ts'
import type { TestGate } from '../support/start-gate.ts'

// Rows of docs/faults.md that are shown here: F39.

// Goal: bugs that others have published advisories about are no bugs of this gate. Named by the
// package and its advisory; what another test proves is listed at the end.
// Method: an upstream of raw bytes, so that nothing but the gate's own parser stands between.

const ok = (lines: readonly string[] = [], body = answerOf('ok')): string => json(body, { lines })
const says = (bytes: string) => (socket: Socket) => void socket.write(Buffer.from(bytes, 'latin1'))

/** A gate over one upstream that says what `up.play` says. */
const world = (t: Test) => gateOverRaw(t, [says(ok())], { GENGATE_HOLD_MS: '50' })

async function ask(
  gate: TestGate,
  send = chat(),
): Promise<{ text: string; client: RawClient; answer: Awaited<ReturnType<RawClient['answer']>> }> {
  const client = new RawClient(gate.port).send(send)
  const answer = await client.answer()
  return { text: JSON.stringify(answer), client, answer }
}

t.test('CVE-2021-21322, CVE-2021-21321, GHSA-8qr4-xgw6-wmr3: a target is no origin', async (t) => {
  const { gate, up } = await world(t)
  const other = await rawUpstream(t)
  const evil = `127.0.0.1:${other.port}`
  const hosts = `127\\.0\\.0\\.1:${up.port}`
  const canonical = new RegExp(`^[A-Z]+ /v1/[!-~]* HTTP/1\\.1\r\nhost: ${hosts}\r\n`, 'i')
  let asked = 0
  for (const target of [
    `//${evil}${CHAT}`,
    `http://${evil}${CHAT}`,
    `/v1/@${evil}/`,
    `/v1/http://${evil}/`,
    `/v1/..//${evil}`,
    `/\\${evil}`,
    `/v1/chat/completions/../../../${evil}`,
    `${CHAT}@${evil}`,
    `${CHAT}/%2e%2e/%2e%2e/metrics`,
    `${CHAT}?url=http://${evil}`,
    `@${evil}${CHAT}`,
    `/v1/files@${evil}/x`,
    `/v1/files/x?@${evil}/`,
    `/v1/files/%2f%2f${evil}/`,
    `/v1/files/http:%2f%2f${evil}/`,
    `/v1/http:@${evil}`,
    `/v1/files/%40${evil}`,
    `/v1/files/x%0d%0aHost:%20${evil}`,
    `/v1/files/x%20HTTP/1.1%0d%0aHost:${evil}`,
    `/v1/:80@${evil}/`,
    `/v1/${evil}:443`,
    `/v1/realtime@${evil}`,
  ])
    for (const method of ['POST', 'GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']) {
      const send = request(method, target, { lines: [JSON_LINE], body: GOOD })
      const client = new RawClient(gate.port).send(send)
      await client.answer({ head: method === 'HEAD', limitMs: 1_000 })
      client.destroy()
      asked++
    }
  t.equal(other.requests.length, 0, 'nobody else was asked')
  t.ok(up.requests.length > 20 && up.requests.length < asked, 'some are paths like any other')
  for (const head of up.requests) {
    t.match(head, canonical)
    t.notMatch(head.split('\r\n')[0], /^[^?]*(?:\.\.|\\|\/\/)/, 'and have one reading')
  }
})

t.test('reply-from GHSA-v574-6498-x57v: ports that look like paths are kept apart', async (t) => {
  const { gate, up } = await world(t)
  for (const body of [{ model: 'default/x' }, { model: `${up.port}` }, { model: 'a=b|c' }]) {
    const { answer } = await ask(gate, chat({ body: JSON.stringify(body) }))
    t.equal(answer?.status, 404)
  }
  t.equal(up.requests.length, 0)
})

t.test('undici CVE-2026-1525: one Content-Length, one Host, no name twice', async (t) => {
  const { gate, up } = await world(t)
  await ask(
    gate,
    chat({ lines: ['CONTENT-TYPE-X: a', 'Connection: content-length, host', 'USER-AGENT: x'] }),
  )
  const names = (up.requests[0]?.split('\r\n\r\n')[0] ?? '')
    .split('\r\n')
    .slice(1)
    .map((line) => line.split(':')[0]?.toLowerCase() ?? '')
  t.equal(new Set(names).size, names.length, 'no name comes twice')
  t.ok(names.includes('content-length') && names.includes('host'))
  t.notOk(names.includes('transfer-encoding'))
})

t.test('reply-from 8c0d65d, c815dc4: Connection strips one hop, and nothing of ours', async (t) => {
  const { gate, up } = await world(t)
  up.play = says(
    ok([
      'connection: X-Secret, x-request-id, x-gengate-upstream',
      'x-secret: hop',
      'keep-alive: timeout=1',
      'x-fine: yes',
      'x-gengate-upstream: forged',
      'x-request-id: forged',
      'proxy-authenticate: Basic',
      'proxy-connection: hop',
      'te: hop',
      'trailer: hop',
      'upgrade: hop',
    ]),
  )
  const { answer, text, client } = await ask(gate, chat({ lines: ['X-Request-Id: mine'] }))
  t.notMatch(text, /hop|forged|timeout=1|Basic/)
  t.match(answer?.headers, { 'x-request-id': 'mine', 'x-gengate-upstream': 'a', 'x-fine': 'yes' })
  t.ok(await client.isUsable(), 'the upstream does not decide about our connection')
})

t.test('B62 what an upstream must not say in our name is stripped', async (t) => {
  const { gate, up } = await world(t)
  up.play = says(
    ok([
      'set-cookie: evil=1',
      'location: http://evil.example/',
      'access-control-allow-origin: *',
      'access-control-allow-credentials: true',
      'refresh: 0;url=http://evil.example',
      'link: <http://evil.example>',
      'clear-site-data: "*"',
      'service-worker-allowed: /evil',
      'timing-allow-origin: *',
      'strict-transport-security: max-age=1',
      'alt-svc: h2="evil:1"',
      '__proto__: evil',
      'www-authenticate: evil',
    ]),
  )
  const { answer, text } = await ask(gate)
  t.equal(answer?.status, 200)
  t.notMatch(text, /evil|access-control|max-age|timing-allow/)
  t.match(answer?.headers, {
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'same-origin',
  })
})

for (const status of [301, 302, 303, 307, 308]) {
  t.test(`undici GHSA-q768-x9m6-m9qp and others: a ${status} is not followed`, async (t) => {
    const { gate, up } = await world(t)
    const other = await rawUpstream(t)
    up.play = says(
      `HTTP/1.1 ${status} Moved\r\nlocation: http://127.0.0.1:${other.port}/v1\r\ncontent-length: 0\r\n\r\n`,
    )
    const { answer, text } = await ask(gate)
    t.ok([status, 502].includes(answer?.status ?? 0))
    t.equal(other.requests.length, 0)
    t.notMatch(text, String(other.port))
    for (const method of ['GET', 'PUT', 'POST']) {
      const passed = await ask(gate, request(method, '/v1/files/x', { lines: [JSON_LINE] }))
      t.equal(passed.answer?.status, status, `${method} is passed on`)
      t.notMatch(passed.text, String(other.port), 'but not where to')
    }
    t.equal(other.requests.length, 0)
  })
}

t.test('undici CVE-2026-22036: an encoded answer is never decoded', async (t) => {
  const { gate, up } = await world(t)
  up.play = (socket) => socket.write(ok([`content-encoding: ${Array(50).fill('gzip').join(', ')}`]))
  const { answer } = await ask(gate)
  t.ok([200, 502].includes(answer?.status ?? 0))
})

const OK = 'HTTP/1.1 200 OK\r\n'
const EMPTY = 'content-length: 0\r\n\r\n'
const WIRE = [
  ['both lengths', `${OK}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['two lengths', `${OK}content-length: 5\r\ncontent-length: 6\r\n\r\nhello`],
  ['CR LF inside a value', `${OK}x-a: b\rx-c: d\r\n${EMPTY}`],
  ['a NUL', `${OK}x-a: b\0c\r\n${EMPTY}`],
  ['a head of 100 KB', `${OK}x-a: ${'b'.repeat(100_000)}\r\n${EMPTY}`],
  ['no HTTP', 'SSH-2.0-OpenSSH_9.9\r\n'],
  ['HTTP/2', '\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff'],
  [
    'a switch of protocols',
    'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello',
  ],
  ['a status of 999', 'HTTP/1.1 999 X\r\ncontent-length: 2\r\n\r\n{}'],
  ['a status of 000', 'HTTP/1.1 000 X\r\ncontent-length: 2\r\n\r\n{}'],
  ['a negative length', `${OK}content-length: -1\r\n\r\n`],
  [
    'a bad chunk',
    `${OK}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`,
  ],
  ['a folded header', `${OK}x-a: b\r\n c\r\n${EMPTY}`],
  ['an empty 200', `${OK}${EMPTY}`],
  ['a 204', 'HTTP/1.1 204 No Content\r\n\r\n'],
] as const
/** What is whole and sound as HTTP goes on as it comes. */
const UNJUDGED = ['a status of 999', 'an empty 200', 'a 204']

for (const [name, bytes] of WIRE) {
  t.test(`llhttp CVE-2022-32213, the other side: ${name} is one error`, async (t) => {
    const { gate, up } = await world(t)
    up.play = says(bytes)
    const { answer, client } = await ask(gate)
    const codes = words('upstream_protocol_error upstream_unreachable upstream_truncated')
    if (answer !== null && [204, 999].includes(answer.status)) t.ok(answer.body.length <= 2)
    else isError(t, answer, [502, 503, 504], [...codes, 'no_eligible_upstream'])
    up.play = says(ok())
    t.ok(await client.isUsable())
    t.notMatch(gate.lines.join(''), /"bug"/)
  })
}

t.test('llhttp CVE-2022-32213 and others: the same bytes, where nobody judges', async (t) => {
  const { gate, up } = await world(t)
  for (const [name, bytes] of WIRE) {
    up.play = says(bytes)
    const { answer, client, text } = await ask(gate, request('GET', '/v1/files/x'))
    // A head that is HTTP has gone on when its body turns out not to be: then a cut says so.
    if (name === 'a bad chunk') t.ok(answer === null && client.closed, name)
    else if (UNJUDGED.includes(name)) t.equal(answer?.headers['x-gengate-upstream'], 'a', name)
    else isError(t, answer, 502, ['upstream_protocol_error', 'upstream_unreachable'])
    t.notMatch(text, /hello|SSH|switching/i, name)
    up.play = says(ok())
    if (!client.closed) t.ok(await client.isUsable(), name)
    client.destroy()
  }
  t.notMatch(gate.lines.join(''), /"bug"/)
})

t.test('node CVE-2026-48931: an answer that nobody asked for goes to nobody', async (t) => {
  const { gate, up } = await world(t)
  const poison = ok([], answerOf('ok').replace('"ok"', '"no"'))
  // The extra answer comes at once, and once more a moment later, when the next may be under way.
  up.play = (socket) => {
    socket.write(ok() + poison)
    setTimeout(() => socket.write(poison), 2)
  }
  for (let i = 0; i < 30; i++) {
    const { text, client } = await ask(gate)
    t.notMatch(text, /\\"no\\"/, `request ${i}`)
    client.destroy()
  }
})

t.test('reply-from da664ac: an early answer leaves nothing for the next', async (t) => {
  const { gate, up } = await world(t)
  const large = `{"model":"default","a":"${'x'.repeat(3_000_000)}"}`
  const { answer } = await ask(gate, chat({ body: large }))
  t.equal(answer?.status, 200)
  const next = await ask(gate)
  t.equal(next.answer?.status, 200)
  t.match(up.requests.at(-1), /^POST \/v1\/chat\/completions HTTP/)
})

t.test('undici GHSA-3cvr-822r-rqcc: keys and URLs hold no CR, LF or NUL', async (t) => {
  for (const evil of ['\r\n', '\n', '\r', '\0']) {
    for (const env of [
      { GENGATE_UPSTREAMS: 'a=http://127.0.0.1:1', GENGATE_A_API_KEY: `a${evil}X: b` },
      { GENGATE_UPSTREAMS: `a=http://127.0.0.1:1/${evil}x` },
      { GENGATE_ALLOWED_HOSTS: `a${evil}b` },
      { GENGATE_ALLOWED_ORIGINS: `http://a${evil}b` },
    ] as Record<string, string>[]) {
      const result = loadConfig({
        env,
        file: null,
        flags: { upstreams: [] },
        readFile: () => null,
      })
      t.equal(result.ok, false, JSON.stringify(env))
    }
  }
})

t.test('LiteLLM CVE-2024-6587: no field of the body chooses a destination', async (t) => {
  const { gate, up } = await world(t)
  const other = await rawUpstream(t)
  const url = `http://127.0.0.1:${other.port}`
  const fields = words(`
    api_base base_url api_url endpoint host url proxy upstream extra_headers metadata
  `)
  const body = { model: 'default', ...Object.fromEntries(fields.map((field) => [field, url])) }
  await ask(
    gate,
    chat({ body: JSON.stringify(body), lines: [`X-Gengate-Upstream: ${url}`, `Api-Base: ${url}`] }),
  )
  t.equal(other.requests.length, 0)
  t.equal(up.requests.length, 1)
})

t.test('a client whose route an upstream lacks does not take it from the others', async (t) => {
  const { gate, up } = await world(t)
  up.play = says(json('{"detail":"Not Found"}', { status: '404 Not Found' }))
  const body = '{"input":"x"}'
  const { answer } = await ask(
    gate,
    request('POST', '/v1/embeddings', { lines: [JSON_LINE], body }),
  )
  t.equal(answer?.status, 404, 'the client learns what is wrong: there is no such route')
  t.not(gate.reason('a'), 'model_not_found', 'and the model is still there')
})

// Proved elsewhere: reply-from CVE-2023-51701, fastify CVE-2025-32442, -2026-25223, -33806 and
// 67f6c9b (B25 of bad-input), GHSA-2q7r-29rg-6m5h and middie CVE-2026-22031 (B26–B28 of
// bad-input), ws CVE-2024-37890 (B30), fastify CVE-2026-3635 (B36), CVE-2022-39288 (B25),
// accepts-serializer CVE-2026-7768 (B60 of bad-input-load), node CVE-2026-21710 (B37), llhttp (B01
// to B13 of bad-input), Go's Expect (B33, B34), LiteLLM CVE-2026-42208 (secrets), Ollama
// CVE-2024-28224 and MCP CVE-2025-66414 (B16, B17), next.js GHSA-c4j6-fc7j-m34r (B35).
