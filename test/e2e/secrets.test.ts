import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { configToJson, printConfig, printIssue } from '../../src/config/print.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { CHAT, chat, get, GOOD, JSON_LINE, RawClient, request, startPair } from '../support/raw.ts'
import { startGate } from '../support/start-gate.ts'

// Goal: no key, prompt, answer, cookie or query string reaches a log line, a metric, the status or
// an error of the gate's own, and no key of a client reaches an upstream (canary test).
// Method: a different canary in every place, all ways to fail, then a search for any of them.

const CANARY = /canary-/i
const KEY = 'canary-client-key-0001'
const UP_KEY = 'canary-upstream-key-0002'
const prompt = GOOD.replace('hi', 'canary-prompt-0003')
const auth = `Authorization: Bearer ${KEY}`
const privateLines = [
  'Cookie: session=canary-cookie-0004',
  'Proxy-Authorization: Basic canary-proxy-0005',
  'X-Forwarded-For: canary-forwarded-0006',
  'X-Custom: canary-custom-0007',
]

const pair = await startPair(t, {
  GENGATE_API_KEYS: KEY,
  GENGATE_A_API_KEY: UP_KEY,
  GENGATE_HOLD_MS: '50',
})
const { gate, upstream } = pair

/** Asks, and gives the answer with every byte of it. */
async function ask(send: string): Promise<string> {
  const client = new RawClient(gate.port).send(send)
  const answer = await client.answer({ limitMs: 3_000 })
  const all = `${JSON.stringify(answer)}${client.rest}`
  client.destroy()
  return all
}

/** Fails where a canary is found in what the operator sees. */
async function isClean(t: Test, what: string): Promise<void> {
  t.strictSame(
    gate.lines.filter((line) => CANARY.test(line)),
    [],
    `${what}: log`,
  )
  gate.lines.length = 0
  for (const path of ['/metrics', '/gate/status', '/readyz?verbose', '/livez', '/v1/nothing']) {
    t.notMatch(await ask(get(path, [auth])), CANARY, `${what}: ${path}`)
  }
}

const guarded = (lines: readonly string[] = [], body = prompt) =>
  chat({ lines: [auth, ...privateLines, ...lines], body })

t.test('requests that the gate refuses leave no trace of what they held', async (t) => {
  const user = 'http://canary-user-0008:canary-password-0009@evil.example'
  for (const send of [
    chat({ lines: privateLines, body: prompt }),
    chat({ lines: ['Authorization: Bearer canary-wrong-key-0010', ...privateLines], body: prompt }),
    chat({ lines: [auth, auth], body: prompt }),
    chat({ lines: ['Authorization: Basic canary-basic-0011'], body: prompt }),
    chat({ lines: [`X-Api-Key: canary-wrong-key-0012`], body: prompt }),
    request('POST', `${CHAT}?api_key=${KEY}`, { lines: [JSON_LINE], body: prompt }),
    get(`/v1/models?key=canary-query-0013`, [auth]),
    get(`/v1/nothing?key=canary-query-0014`, [auth]),
    get(`/v1/../x?key=canary-query-0015`, [auth]),
    get(`${user}/v1/models?key=canary-query-0016`, [auth]),
    get(`${user}/v1/../models`, [auth]),
    get(`http://localhost/v1/models?key=canary-query-0017#canary-fragment-0018`, [auth]),
    get('/v1/models#canary-fragment-0019', [auth]),
    get(user, [auth]),
    request('OPTIONS', `${user}/x`, { lines: [auth] }),
    `CONNECT canary-user-0020:canary-password-0021@evil.example:1 HTTP/1.1\r\nHost: x\r\n\r\n`,
    chat({ host: 'canary-user-0022:canary-password-0023@localhost' }),
    guarded(['Origin: https://canary-origin-0024.example']),
    guarded(['Content-Encoding: canary-coding-0025']),
    guarded(['Expect: canary-expect-0026']),
    guarded(['Transfer-Encoding: canary-te-0027']),
    guarded([], prompt.slice(0, -5)),
    guarded([], prompt.replace('default', 'canary-model-0028')),
    guarded([], prompt.replace('{', '{"stream":"canary-stream-0029",')),
    guarded(['bad header canary-header-0030']),
    guarded(['X-A: a\0canary-header-0031']),
    get('/v1/models', [`Via: 1.1 canary-via-0032, ${'1.1 gengate-x, '.repeat(7)}`, auth]),
    request('POST', CHAT, { lines: ['Content-Type: canary/type-0033', auth], body: prompt }),
    get(`/readyz?verbose&model=canary-model-0034`),
    get(`/v1/models/nothing?key=canary-query-0036`, ['X-Request-Id: canary id 0037']),
  ]) {
    const answer = await ask(send)
    t.notMatch(answer, CANARY, send.slice(0, 80))
  }
  await isClean(t, 'refused')
})

/** What an engine repeats of a request stands in its answer to that request. A probe holds nothing but
 *  our key. */
const PROBED_ERROR = { error: { message: `the key ${UP_KEY} is not known` } }
function live(status: number, body: unknown, headers: Record<string, string> = {}): void {
  upstream.status(status, body, headers)
  for (const path of [CHAT, '/v1/completions', '/v1/embeddings']) {
    upstream.handlers.set(path, (req, res) => {
      const probed = req.headers['user-agent'] === 'gengate-probe'
      const text = JSON.stringify(probed && status >= 400 ? PROBED_ERROR : body)
      res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text)
    })
  }
}

const SECRET_ERROR = { error: { message: 'canary-response-0040 of canary-response-0041' } }
const STORIES: Record<string, () => void> = {
  'an answer': () => upstream.ok(),
  'a 500': () => live(500, SECRET_ERROR),
  'a 400': () => live(400, SECRET_ERROR),
  'a 401 that repeats the key': () => live(401, { error: `bad key ${UP_KEY}` }),
  'a 404 that repeats the prompt': () => live(404, SECRET_ERROR),
  'a 503': () => live(503, SECRET_ERROR, { 'x-canary': 'canary-header-0042' }),
  'no JSON': () => upstream.status(200, 'canary-response-0043'),
  'an error object': () => live(200, SECRET_ERROR),
  'a head with canaries': () =>
    upstream.status(302, 'x', { location: 'http://canary-user-0044:canary-0045@x/' }),
  'a cut': () => upstream.cutAfter(1, 'reset'),
}
for (const [name, script] of Object.entries(STORIES)) {
  t.test(`requests that end in ${name} leave no trace of what they held`, async (t) => {
    script()
    for (const stream of [false, true]) {
      const body = stream ? prompt.replace('{', '{"stream":true,') : prompt
      const answer = await ask(guarded([], body))
      t.notMatch(answer, /canary-(client|upstream)-key/, 'no key comes back')
    }
    await isClean(t, name)
    upstream.handlers.clear()
    upstream.ok()
    await gate.untilReason('a', 'ok', 'ok_by_traffic')
  })
}

t.test('the upstream sees its own key, never the client’s, wherever that stood', async (t) => {
  upstream.ok()
  for (const lines of [
    [auth],
    [`X-Api-Key: ${KEY}`],
    [
      auth,
      `X-Api-Key: ${KEY}`,
      `Api-Key: ${KEY}`,
      `Cookie: key=${KEY}`,
      `Proxy-Authorization: Bearer ${KEY}`,
    ],
    [auth, 'Connection: authorization'],
  ]) {
    const before = pair.forwarded().length
    t.match(await ask(chat({ lines })), /"status":200/)
    t.equal(pair.forwarded().length, before + 1)
  }
  t.notMatch(JSON.stringify(upstream.seen), KEY)
  t.ok(upstream.generations.every(({ headers }) => headers.authorization === `Bearer ${UP_KEY}`))
})

t.test('a key in the query is no key, and reaches nobody', async (t) => {
  const before = pair.forwarded().length
  for (const name of ['api_key', 'key', 'api-key', 'access_token'])
    t.match(
      await ask(request('POST', `${CHAT}?${name}=${KEY}`, { lines: [JSON_LINE], body: GOOD })),
      /invalid_api_key/,
    )
  t.equal(pair.forwarded().length, before)
})

t.test('B39, B40 what is no key is a 401 with a challenge, and reaches nobody', async (t) => {
  const before = pair.forwarded().length
  for (const line of [
    '',
    'Authorization: ',
    'Authorization: Bearer',
    'Authorization: Bearer x',
    `Authorization: Basic ${KEY}`,
    `Authorization: ${KEY}`,
    `Authorization: Bearer ${KEY} x`,
    `Authorization: Bearer ${KEY.toUpperCase()}`,
    `Authorization: Bearer ${KEY.slice(0, -1)}`,
    `Authorization: Bearer ${KEY}\r\nAuthorization: Bearer ${KEY}`,
    `Authorization: Bearer ${'x'.repeat(10_000)}`,
    `X-Api-Key: ${KEY}, ${KEY}`,
    `Authorization: Bearer \xff${KEY}`,
  ]) {
    const client = new RawClient(gate.port).send(chat({ lines: line === '' ? [] : [line] }))
    const answer = await client.answer()
    t.equal(answer?.status, 401, line.slice(0, 60))
    t.equal(answer?.headers['www-authenticate'], 'Bearer')
    t.match(answer?.body, '"invalid_api_key"')
    client.destroy()
  }
  t.match(await ask(chat({ lines: [`Authorization: Bearer ${KEY}\rX: a`] })), /"bad_framing/)
  t.equal(pair.forwarded().length, before)
})

t.test('after a failover each upstream has seen its own key only', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'], apiKey: 'key-of-a' })
  const b = await fakeUpstream(t, { models: ['m'], apiKey: 'key-of-b' })
  const both = await startGate(t, {
    GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`,
    GENGATE_A_API_KEY: 'key-of-a',
    GENGATE_B_API_KEY: 'key-of-b',
  })
  await both.untilReason('a', 'ok')
  await both.untilReason('b', 'ok')
  a.status(500, { error: { message: 'x' } })
  const client = new RawClient(both.port).send(
    chat({ lines: ['Authorization: Bearer key-of-client'] }),
  )
  t.equal((await client.answer())?.headers['x-gengate-upstream'], 'b')
  client.destroy()
  t.notMatch(JSON.stringify(a.seen), /key-of-(b|client)/)
  t.notMatch(JSON.stringify(b.seen), /key-of-(a|client)/)
})

const load = (env: Record<string, string>) =>
  loadConfig({ env, file: null, flags: { upstreams: [] }, readFile: () => null })

t.test('B68 a password in a URL is refused at load, and no message repeats a secret', async (t) => {
  for (const env of [
    { GENGATE_UPSTREAMS: 'a=http://canary-user:canary-password@127.0.0.1:1' },
    { GENGATE_UPSTREAMS: 'a', GENGATE_A_URL: 'http://canary-user:canary-password@127.0.0.1:1/v1' },
    { GENGATE_UPSTREAMS: 'a=http://canary-user@127.0.0.1:1' },
    { GENGATE_UPSTREAMS: 'a=http://127.0.0.1:1/canary-path@b?canary-query=1' },
    { GENGATE_UPSTREAMS: 'a=http://127.0.0.1:1', GENGATE_A_API_KEY: 'canary key with spaces' },
    { GENGATE_API_KEYS: 'canary-key\r\ninjected: canary' },
  ] as Record<string, string>[]) {
    const result = load(env)
    t.equal(result.ok, false, JSON.stringify(env))
    if (result.ok) continue
    t.notMatch(result.issues.map(printIssue).join('\n'), CANARY)
    gate.app.reload(result)
  }
  await isClean(t, 'an invalid reload')
  const good = load({
    GENGATE_UPSTREAMS: 'a=http://127.0.0.1:1',
    GENGATE_A_API_KEY: UP_KEY,
    GENGATE_API_KEYS: KEY,
  })
  if (!good.ok) return void t.fail('a good one is accepted')
  t.notMatch(
    `${printConfig(good.config).join('\n')}${JSON.stringify(configToJson(good.config))}`,
    CANARY,
  )
})
