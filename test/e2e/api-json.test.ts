import t from 'tap'
import { post } from '../support/ask.ts'
import { forwarded, gateOverTwo, servedBy } from '../support/fake-client.ts'
import { type FakeUpstream, fakeUpstream } from '../support/fake-upstream.ts'
import { startGate } from '../support/start-gate.ts'

// Goal: the routes that take JSON and give JSON, rerank, score, tokenize and their like, fail over
// as generations do, and go only where they exist.
// Method: one row per path in vLLM's shapes, two upstreams; then mixed engines.

interface Row {
  readonly body: object
  /** What the answer holds. */
  readonly has: object
  /** Does the answer tell the model? */
  readonly tells: boolean
}

const RERANK: Row = {
  body: { query: 'q', documents: ['d'] },
  has: { results: [{ index: 0, relevance_score: 0.9 }] },
  tells: true,
}
const SCORE: Row = {
  body: { text_1: 'a', text_2: 'b' },
  has: { data: [{ object: 'score', score: 0.5 }] },
  tells: true,
}
const ROWS: Readonly<Record<string, Row>> = {
  '/v1/messages/count_tokens': {
    body: { messages: [{ role: 'user', content: 'hi' }] },
    has: { input_tokens: 21 },
    tells: false,
  },
  '/v1/rerank': RERANK,
  '/v2/rerank': RERANK,
  '/rerank': RERANK,
  '/v1/score': SCORE,
  '/score': SCORE,
  '/classify': { body: { input: 'x' }, has: { data: [{ label: 'good' }] }, tells: true },
  '/pooling': { body: { input: 'x' }, has: { data: [{ object: 'pooling' }] }, tells: true },
  '/tokenize': { body: { prompt: 'hi' }, has: { count: 2, tokens: [76, 77] }, tells: false },
  '/detokenize': { body: { tokens: [76, 77] }, has: { prompt: 'hi' }, tells: false },
}

const BEFORE: Readonly<Record<string, (up: FakeUpstream) => void | Promise<void>>> = {
  'a refused connection': (up) => up.refuse(),
  'a reset before any byte': (up) => up.cutAfter(-1, 'reset'),
  'a reset inside the body': (up) => up.cutAfter(0, 'reset'),
  'a FIN inside the body': (up) => up.cutAfter(0, 'fin'),
  'half a body that ends cleanly': (up) => up.cutAfter(0, 'chunked-end'),
  'half a body to the end of the connection': (up) => up.cutAfter(0, 'eof-framed'),
  'a 500': (up) => up.status(500, { error: { message: 'boom' } }),
  'a 503': (up) => up.status(503, { error: { message: 'busy' } }),
  'an empty 200': (up) => up.empty(),
  'an error object in a 200': (up) => up.errorObject(),
}

for (const [path, row] of Object.entries(ROWS)) {
  t.test(`${path}: answers, errors, mapping, and a client that leaves`, async (t) => {
    const two = await gateOverTwo(t, { strict: true }, { GENGATE_MODELS: 'fast=a:m|b:m' })
    const ask = (init: RequestInit = {}) =>
      post(`${two.gate.url}${path}`, JSON.stringify({ model: 'fast', ...row.body }), init)
    const answer = await ask()
    t.equal(answer.status, 200)
    t.equal(servedBy(answer), 'a')
    t.match(await answer.json(), { ...row.has, ...(row.tells ? { model: 'fast' } : {}) })
    t.match(JSON.parse(forwarded(two.a, path)[0]?.body ?? ''), { ...row.body, model: 'm' })

    const error = { message: 'bad', type: 'BadRequestError', param: null, code: 400 }
    two.a.status(400, { error })
    const refused = await ask()
    t.equal(refused.status, 400)
    t.equal(await refused.text(), JSON.stringify({ error }))
    t.equal(forwarded(two.b, path).length, 0)
    t.match(two.gate.reason('a'), /^ok/)

    two.a.ok()
    two.a.options.ttftMs = 20_000
    const leaving = new AbortController()
    const asked = ask({ signal: leaving.signal })
    await two.gate.until(() => forwarded(two.a, path).length === 3)
    leaving.abort()
    await t.rejects(asked)
    await two.gate.until(() => forwarded(two.a, path)[2]?.ended?.how === 'cut')
  })

  t.test(`${path}: whatever fails before the whole answer is there fails over`, async (t) => {
    for (const [name, fault] of Object.entries(BEFORE)) {
      await t.test(name, async (t) => {
        const two = await gateOverTwo(t)
        await fault(two.a)
        const body = JSON.stringify({ model: 'default', ...row.body })
        const answer = await post(`${two.gate.url}${path}`, body)
        t.equal(answer.status, 200)
        t.equal(servedBy(answer), 'b')
        t.match(await answer.json(), row.has)
      })
    }
  })

  t.test(`${path}: a method that it does not have, and a body that is no JSON`, async (t) => {
    const two = await gateOverTwo(t)
    const text = await fetch(`${two.gate.url}${path}`, { method: 'POST', body: 'x' })
    t.equal(text.status, 415)
    t.equal((await post(`${two.gate.url}${path}`, '{')).status, 400)
    const got = await fetch(`${two.gate.url}${path}`)
    t.equal(got.status, 405)
    t.equal(got.headers.get('allow'), 'POST, OPTIONS')
    t.equal(forwarded(two.a, path).filter(({ method }) => method === 'POST').length, 0)
  })
}

t.test('a route that no configured engine has is 404 and names those that have it', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  const env = { GENGATE_UPSTREAMS: `a=${a.url}`, GENGATE_A_ENGINE: 'mlx', GENGATE_A_MODEL: 'm' }
  const gate = await startGate(t, env)
  await gate.untilReason('a', 'ok')
  for (const [path, has, lacks] of [
    ['/v1/responses', ['vllm', 'ollama', 'llamacpp', 'lmstudio', 'sglang'], ['mlx', 'embedded']],
    ['/v1/messages', ['vllm', 'ollama', 'llamacpp', 'lmstudio'], ['mlx', 'sglang']],
    ['/v1/rerank', ['vllm', 'llamacpp', 'sglang'], ['mlx', 'ollama']],
    ['/v1/embeddings', ['vllm', 'ollama'], ['mlx']],
    ['/classify', ['vllm', 'sglang'], ['mlx', 'llamacpp']],
    ['/tokenize', ['vllm', 'llamacpp'], ['mlx', 'ollama']],
  ] as const) {
    const answer = await post(`${gate.url}${path}`, JSON.stringify({ model: 'default' }))
    t.equal(answer.status, 404, path)
    const { error } = (await answer.json()) as { error: { code: string; message: string } }
    t.equal(error.code, 'not_found')
    const [, list = ''] = error.message.split('engines that have it:')
    const words = list.split(/[^\w]+/)
    for (const engine of has) t.ok(words.includes(engine), `${path} names ${engine}`)
    for (const engine of lacks) t.notOk(words.includes(engine), `${path} does not name ${engine}`)
    t.equal(forwarded(a, path).length, 0)
  }
})

t.test(
  'a route goes past the preferred engine that lacks it, and never fails over there',
  async (t) => {
    const a = await fakeUpstream(t, { models: ['m'] })
    const b = await fakeUpstream(t, { models: ['m'] })
    const gate = await startGate(t, {
      GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`,
      GENGATE_A_ENGINE: 'mlx',
      GENGATE_A_MODEL: 'm',
      GENGATE_HOLD_MS: '50',
    })
    await gate.untilReason('a', 'ok')
    await gate.untilReason('b', 'ok')
    const ask = () =>
      post(`${gate.url}/v1/responses`, JSON.stringify({ model: 'default', input: 'x' }))
    t.equal(servedBy(await ask()), 'b')
    b.status(500, { error: { message: 'boom' } })
    const failed = await ask()
    t.equal(failed.status, 500)
    t.match(await failed.json(), { error: { message: 'boom' } })
    t.equal(forwarded(a, '/v1/responses').length, 0)
  },
)

t.test('a route that this very server lacks is its own 404, and blames nobody', async (t) => {
  const two = await gateOverTwo(
    t,
    { missing: ['rerank', 'responses'] },
    { GENGATE_MODELS: 'fast=a:m|b:m' },
  )
  for (const path of ['/v1/rerank', '/v1/responses']) {
    const answer = await post(`${two.gate.url}${path}`, JSON.stringify({ model: 'fast' }))
    t.equal(answer.status, 404)
    t.strictSame(await answer.json(), { detail: 'Not Found' })
  }
  t.match(two.gate.reason('a'), /^ok/)
})

t.test('pooled vectors as bytes, which vLLM sends on request, pass', async (t) => {
  const bytes = Buffer.from([0, 1, 2, 255, 254, 0x7b])
  for (const path of ['/pooling', '/v1/embeddings']) {
    const two = await gateOverTwo(t)
    two.a.handlers.set(path, (req, res) => {
      req.resume()
      res.writeHead(200, { 'content-type': 'application/octet-stream', metadata: '{"data":[]}' })
      res.end(bytes)
    })
    const body = JSON.stringify({ model: 'm', input: 'x', encoding_format: 'bytes' })
    const answer = await post(`${two.gate.url}${path}`, body)
    t.equal(answer.status, 200, path)
    t.equal(servedBy(answer), 'a', path)
    t.strictSame(Buffer.from(await answer.arrayBuffer()), bytes, path)
    t.equal(answer.headers.get('metadata'), '{"data":[]}', path)
    t.match(two.gate.reason('a'), /^ok/, path)
  }
})

t.test('a bare list, as some rerankers answer, passes', async (t) => {
  const two = await gateOverTwo(t)
  two.a.status(200, [{ index: 0, score: 0.9 }])
  const answer = await post(`${two.gate.url}/rerank`, JSON.stringify(RERANK.body))
  t.equal(servedBy(answer), 'a')
  t.strictSame(await answer.json(), [{ index: 0, score: 0.9 }])
})
