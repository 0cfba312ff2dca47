import t, { type Test } from 'tap'
import { chat, post, readStream, servedBy } from '../support/ask.ts'
import { type FakeUpstream, fakeUpstream } from '../support/fake-upstream.ts'
import { forwarded, gateOverOne, gateOverTwo, QUICK, type Two } from '../support/gates.ts'
import { startGate } from '../support/start-gate.ts'

// Rows of docs/bad-input.md that are shown here: B64.
// Rows of docs/faults.md that are shown here: F05, F08, F09, F10, F11, F13, F15, F18.

// Goal: every API goes through the gate exact, fails over before content, is told in its own words
// after it, and stops with its client; a route goes only where it exists.
// Method: one row per API, every ending, two upstreams in vLLM's wire shapes, real sockets.

// Most of it is waiting.
t.jobs = 4

/** An API that takes JSON and gives JSON. */
interface Row {
  readonly path: string
  readonly body: Record<string, unknown>
  /** What a whole answer holds. */
  readonly has: object
  /** Does a whole answer tell no model? */
  readonly silent?: boolean
  readonly stream?: Stream
}

/** How a generation streams. */
interface Stream {
  /** Names of the events of three tokens; what precedes the first content is held. */
  readonly names: readonly string[]
  /** What ends a proper stream. */
  readonly last: string
  /** An error of the gate's own inside a stream. */
  readonly frame: (code: string) => object
  /** Reasons of the engine's that are no proper end, and what becomes of them. */
  readonly aborts: Readonly<Record<string, string>>
}
type Generation = Row & { readonly stream: Stream }

const messages = [{ role: 'user', content: 'hi' }]
const CHAT: Generation = {
  path: '/v1/chat/completions',
  body: { messages },
  has: { object: 'chat.completion', choices: [{ finish_reason: 'stop' }] },
  stream: {
    names: [],
    last: '[DONE]',
    frame: (code) => ({ error: { code, message: /./ } }),
    aborts: { abort: 'upstream_truncated', error: 'upstream_truncated' },
  },
}
const RESPONSES: Generation = {
  path: '/v1/responses',
  body: { input: 'hi' },
  has: { object: 'response', status: 'completed', output: [{ type: 'message' }] },
  stream: {
    names: [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      ...Array<string>(3).fill('response.output_text.delta'),
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ],
    last: 'response.completed',
    frame: (code) => ({ type: 'error', code, message: /./, error: { code } }),
    aborts: { abort: 'upstream_truncated', error: 'upstream_error' },
  },
}
const MESSAGES: Generation = {
  path: '/v1/messages',
  body: { max_tokens: 16, messages },
  has: { type: 'message', stop_reason: 'end_turn', content: [{ type: 'text' }] },
  stream: {
    names: [
      'message_start',
      'ping',
      'content_block_start',
      ...Array<string>(3).fill('content_block_delta'),
      'content_block_stop',
      'message_delta',
      'message_stop',
    ],
    last: 'message_stop',
    frame: (code) => ({ type: 'error', error: { type: 'api_error', message: /./, code } }),
    aborts: { abort: 'upstream_truncated' },
  },
}
const RERANK = {
  body: { query: 'q', documents: ['d'] },
  has: { results: [{ index: 0, relevance_score: 0.9 }] },
}
const SCORE = {
  body: { text_1: 'a', text_2: 'b' },
  has: { data: [{ object: 'score', score: 0.5 }] },
}
const GENERATIONS: readonly Generation[] = [CHAT, RESPONSES, MESSAGES]
const JSON_IN_JSON_OUT: readonly Row[] = [
  {
    path: '/v1/messages/count_tokens',
    body: { messages },
    has: { input_tokens: 21 },
    silent: true,
  },
  { path: '/v1/rerank', ...RERANK },
  { path: '/v2/rerank', ...RERANK },
  { path: '/rerank', ...RERANK },
  { path: '/v1/score', ...SCORE },
  { path: '/score', ...SCORE },
  { path: '/classify', body: { input: 'x' }, has: { data: [{ label: 'good' }] } },
  { path: '/pooling', body: { input: 'x' }, has: { data: [{ object: 'pooling' }] } },
  {
    path: '/tokenize',
    body: { prompt: 'hi' },
    has: { count: 2, tokens: [76, 77] },
    silent: true,
  },
  { path: '/detokenize', body: { tokens: [76, 77] }, has: { prompt: 'hi' }, silent: true },
]

/** What a client may not see, since nothing has reached it: the other upstream answers. */
const BEFORE: Readonly<Record<string, (up: FakeUpstream) => void | Promise<void>>> = {
  'a refused connection': (up) => up.refuse(),
  'a reset before any byte': (up) => up.cutAfter(-1, 'reset'),
  'a reset before content': (up) => up.cutAfter(0, 'reset'),
  'a FIN before content': (up) => up.cutAfter(0, 'fin'),
  'an end before content': (up) => up.cutAfter(0, 'chunked-end'),
  'an end of the connection before content': (up) => up.cutAfter(0, 'eof-framed'),
  'an error event before content': (up) => up.errorFrame(0),
  'a 500': (up) => up.status(500, { error: { message: 'boom' } }),
  'a 503': (up) => up.status(503, { error: { message: 'busy' } }),
  'an empty 200': (up) => up.empty(),
  'an error object in a 200': (up) => up.errorObject(),
}

const AFTER: Readonly<Record<string, (up: FakeUpstream) => void>> = {
  reset: (up) => up.cutAfter(2, 'reset'),
  fin: (up) => up.cutAfter(2, 'fin'),
  'early chunked end': (up) => up.cutAfter(2, 'chunked-end'),
  'early end, EOF-framed': (up) => up.cutAfter(2, 'eof-framed'),
  'error event': (up) => up.errorFrame(2),
}

const MAPPED = { GENGATE_MODELS: 'fast=a:m|b:m' }
const TOO_LONG = {
  error: { message: 'too long', type: 'BadRequestError', param: null, code: 400 },
}

function asking({ path, body }: Row) {
  return ({ gate }: Pick<Two, 'gate'>, over: object = {}, init: RequestInit = {}) =>
    post(`${gate.url}${path}`, JSON.stringify({ model: 'default', ...body, ...over }), init)
}

for (const row of [...GENERATIONS, ...JSON_IN_JSON_OUT]) {
  const { path, body, has, silent = false } = row
  const kinds = row.stream === undefined ? [false] : [false, true]
  const ask = asking(row)

  t.test(`${path}: the model is mapped out and back`, async (t) => {
    const two = await gateOverTwo(t, { strict: true }, MAPPED)
    for (const stream of kinds) {
      const answer = await ask(two, { model: 'fast', stream })
      t.equal(answer.status, 200)
      t.equal(servedBy(answer), 'a')
      const text = await answer.text()
      if (!stream) t.match(JSON.parse(text), has)
      if (!silent) t.match(text, '"model":"fast"')
      t.notMatch(text, '"model":"m"')
      t.match(JSON.parse(forwarded(two.a, path).at(-1)?.body ?? ''), { ...body, model: 'm' })
    }
  })

  t.test(`${path}: an error of the request is passed on and blames nobody`, async (t) => {
    const two = await gateOverTwo(t)
    two.a.status(400, TOO_LONG)
    for (const stream of kinds) {
      const answer = await ask(two, { stream })
      t.equal(answer.status, 400)
      t.equal(await answer.text(), JSON.stringify(TOO_LONG))
    }
    t.equal(two.gate.reason('a'), 'ok')
    t.equal(forwarded(two.b, path).length, 0)
  })

  for (const stream of kinds) {
    const kind = stream ? 'stream' : 'unary'
    t.test(`${path} (${kind}): a client that leaves stops the upstream`, async (t) => {
      const two = await gateOverTwo(t)
      Object.assign(two.a.options, { tokens: 1_000, gapMs: 20, ttftMs: stream ? 0 : 20_000 })
      const leaving = new AbortController()
      const asked = ask(two, { stream, max_tokens: 999 }, { signal: leaving.signal })
      if (stream) await (await asked).body?.getReader().read()
      else await two.gate.until(() => forwarded(two.a, path).length > 0)
      leaving.abort()
      await asked.catch(() => {})
      await two.gate.until(() => forwarded(two.a, path)[0]?.ended?.how === 'cut')
      t.equal(two.gate.reason('a'), 'ok')
      t.equal(forwarded(two.b, path).length, 0, 'and nobody else is asked')
    })

    for (const [name, fault] of Object.entries(BEFORE)) {
      t.test(`${path} (${kind}): ${name} is answered by the other`, async (t) => {
        const two = await gateOverTwo(t)
        await fault(two.a)
        const answer = await ask(two, { stream })
        t.equal(answer.status, 200)
        t.equal(servedBy(answer), 'b')
        if (!stream) return t.match(await answer.json(), has)
        const end = await readStream(answer)
        t.strictSame(end.names, row.stream?.names, 'nothing of the first shows')
        t.match(end.raw, row.stream?.last)
        t.notMatch(end.raw, 'of-a')
        return t.notOk(end.broken || end.error !== null)
      })
    }
  }
}

for (const row of JSON_IN_JSON_OUT) {
  t.test(`${row.path}: a method that it does not have, and a body that is no JSON`, async (t) => {
    const two = await gateOverTwo(t)
    const url = `${two.gate.url}${row.path}`
    t.equal((await fetch(url, { method: 'POST', body: 'x' })).status, 415)
    t.equal((await post(url, '{')).status, 400)
    const got = await fetch(url)
    t.equal(got.status, 405)
    t.equal(got.headers.get('allow'), 'POST, OPTIONS')
    t.equal(forwarded(two.a, row.path).length, 0)
  })
}

for (const row of GENERATIONS) {
  const { path } = row
  const { names, last, frame, aborts } = row.stream
  const ask = asking(row)
  const direct = (up: FakeUpstream, stream: boolean) =>
    post(`${up.url}${path}`, JSON.stringify({ ...row.body, model: 'm', stream }))
  const isWhole = async (t: Test, answer: Response): Promise<void> => {
    const end = await readStream(answer)
    t.strictSame(end.names, names)
    t.equal(end.text, 'tok0 tok1 tok2 ')
    t.equal(end.error, null)
    t.ok(end.raw.includes(last) && !end.broken)
  }

  t.test(`${path}: a unary answer comes byte for byte`, async (t) => {
    const two = await gateOverTwo(t)
    const answer = await ask(two, { model: 'm' })
    t.equal(servedBy(answer), 'a')
    t.match(answer.headers.get('content-type'), /^application\/json/)
    const text = await answer.text()
    t.equal(Number(answer.headers.get('content-length')), text.length)
    const bytes = await (await direct(two.a, false)).text()
    t.equal(text.replace(/of-a-\d+/, 'ID'), bytes.replace(/of-a-\d+/, 'ID'))
  })

  t.test(`${path}: a stream comes event by event and ends cleanly`, async (t) => {
    const two = await gateOverTwo(t, { gapMs: 5 })
    const answer = await ask(two, { stream: true })
    t.match(answer.headers.get('content-type'), /^text\/event-stream/)
    await isWhole(t, answer)
    t.equal(forwarded(two.b, path).length, 0)
  })

  t.test(`${path}: the first token does not wait for the second`, async (t) => {
    const two = await gateOverTwo(t, { gapMs: 20_000 })
    const leaving = new AbortController()
    const answer = await ask(two, { stream: true }, { signal: leaving.signal })
    const reader = answer.body?.getReader()
    let text = ''
    while (!text.includes('tok0')) {
      const { value, done } = (await reader?.read()) ?? { done: true }
      if (done) break
      text += Buffer.from(value).toString()
    }
    t.match(text, 'tok0')
    leaving.abort()
  })

  for (const [name, cut] of Object.entries(AFTER)) {
    t.test(`${path}: ${name} after content is an error event and a broken end`, async (t) => {
      const two = await gateOverTwo(t, { tokens: 5, gapMs: 5 })
      cut(two.a)
      const end = await readStream(await ask(two, { stream: true }))
      t.equal(end.text, 'tok0 tok1 ')
      t.match(end.last, frame(name === 'error event' ? 'upstream_error' : 'upstream_truncated'))
      t.ok(end.broken)
      t.notMatch(end.raw, /response\.(completed|failed)|message_stop|\[DONE\]/)
      if (row !== CHAT) t.equal(end.names.filter((one) => one === 'error').length, 1)
      const read = end.events.map((one) => JSON.parse(one) as { sequence_number?: number })
      const counted = read.map((_, index) => (row === RESPONSES ? index : undefined))
      const numbers = read.map((one) => one.sequence_number)
      t.strictSame(numbers, counted, 'the error goes on counting')
    })
  }

  for (const [reason, code] of Object.entries(aborts)) {
    t.test(`${path}: an end by ${reason} is no proper end`, async (t) => {
      const two = await gateOverTwo(t)
      two.a.finishWith(reason)
      const end = await readStream(await ask(two, { stream: true }))
      t.match(end.last, frame(code))
      t.ok(end.broken)
      t.notMatch(end.raw, last)
      t.notMatch(end.raw, `"finish_reason":"${reason}"`)
      const unary = await ask(two)
      t.equal(unary.status, 200)
      t.equal(servedBy(unary), 'b', 'a whole answer is the other one to give')
    })
  }

  t.test(`${path}: an end at the limit of tokens is proper`, async (t) => {
    const two = await gateOverTwo(t)
    two.a.finishWith('length')
    await isWhole(t, await ask(two, { stream: true }))
    t.match(await (await ask(two)).text(), /incomplete|max_tokens|"length"/)
    t.equal(forwarded(two.b, path).length, 0)
  })

  t.test(`${path}: a reset after the last event takes nothing back`, async (t) => {
    const two = await gateOverTwo(t)
    two.a.handlers.set(path, (req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      req.resume().on('end', async () => {
        res.write(await (await direct(two.b, true)).text())
        setTimeout(() => res.socket?.resetAndDestroy(), 20)
      })
    })
    await isWhole(t, await ask(two, { stream: true }))
  })

  // What a frozen engine still says, `response.created`, `message_start`, a `ping` now and then, is no
  // content.
  for (const stream of [true, false]) {
    const kind = stream ? 'stream' : 'unary'
    t.test(`${path} (${kind}): frozen after its first events, the other answers`, async (t) => {
      const two = await gateOverTwo(t, {}, QUICK)
      two.a.headersOnly()
      const answer = await ask(two, { stream })
      t.equal(servedBy(answer), 'b')
      if (stream) await isWhole(t, answer)
      else t.match(await answer.json(), row.has)
      await two.gate.until(() => forwarded(two.a, path)[0]?.ended?.how === 'cut')
      // The first was moved for its silence alone: only the probe says something of the next one.
      await two.gate.until(() => !/^(ok|busy)/.test(two.gate.reason('a') ?? 'ok'))
      t.equal(servedBy(await ask(two, { stream })), 'b', 'the next one goes there at once')
      t.equal(forwarded(two.a, path).length, 1)
    })
  }

  t.test(`${path}: frozen after a token, the client is told, later ones move on`, async (t) => {
    const two = await gateOverTwo(t, {}, QUICK)
    two.a.oneTokenThenFreeze()
    const end = await readStream(await ask(two, { stream: true }))
    t.equal(end.text, 'tok0 ')
    t.match(end.last, frame('upstream_stalled'))
    t.ok(end.broken)
    t.notMatch(end.raw, last)
    t.equal(servedBy(await ask(two, { stream: true })), 'b')
  })

  t.test(`${path}: after the commit deadline the other answers under the same head`, async (t) => {
    const two = await gateOverTwo(t, {}, { ...QUICK, GENGATE_COMMIT_DEADLINE_MS: '200' })
    two.a.headersOnly()
    const answer = await ask(two, { stream: true })
    t.equal(servedBy(answer), 'pending')
    const end = await readStream(answer)
    t.match(end.raw, /^: keep-alive\n\n/)
    t.match(end.raw, ': gengate upstream=b\n\n')
    t.match(end.raw, last)
    t.equal(end.text, 'tok0 tok1 tok2 ')
    t.notOk(end.broken)
  })

  t.test(`${path}: an error of the request after the deadline is told in the stream`, async (t) => {
    const two = await gateOverTwo(t, {}, { GENGATE_COMMIT_DEADLINE_MS: '100' })
    two.a.options.ttftMs = 300
    two.a.status(400, TOO_LONG)
    const answer = await ask(two, { stream: true })
    t.equal(servedBy(answer), 'pending')
    const { raw, broken } = await readStream(answer)
    t.match(raw, /^data: \{.*"message":"too long"/m)
    t.notMatch(raw, /^\{/m, 'never bare JSON')
    t.ok(broken)
    t.match(two.gate.reason('a'), /^ok/)
  })
}

t.test('a poison request reaches two upstreams at most and gets the original error', async (t) => {
  const ups = await Promise.all([1, 2, 3].map(() => fakeUpstream(t, { models: ['m'] })))
  const list = ups.map((up, i) => `u${i}=${up.url}`).join(',')
  const gate = await startGate(t, { GENGATE_UPSTREAMS: list })
  for (const [i] of ups.entries()) await gate.untilReason(`u${i}`, 'ok')
  for (const up of ups) up.status(500, { error: { message: 'poison' } })
  const answer = await chat(gate, { stream: true })
  t.equal(answer.status, 500)
  t.match(await answer.json(), { error: { message: 'poison' } })
  t.strictSame(
    ups.map((up) => forwarded(up).filter(({ method }) => method === 'POST').length),
    [1, 1, 0],
  )
})

t.test('the sole upstream that is busy passes its 503 and Retry-After on', async (t) => {
  const { a, gate } = await gateOverOne(t)
  a.status(503, { error: { message: 'full' } }, { 'retry-after': '7' })
  const answer = await chat(gate, { stream: true })
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('retry-after'), '7')
  t.match(await answer.json(), { error: { message: 'full' } })
})

t.test('a route that no configured engine has is 404 and names those that have it', async (t) => {
  const { a, gate } = await gateOverOne(t, {}, { GENGATE_A_ENGINE: 'mlx', GENGATE_A_MODEL: 'm' })
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

t.test('a route goes past the engine that lacks it, and never fails over there', async (t) => {
  const mlx = { GENGATE_A_ENGINE: 'mlx', GENGATE_A_MODEL: 'm', GENGATE_HOLD_MS: '50' }
  const two = await gateOverTwo(t, {}, mlx)
  const ask = asking(RESPONSES)
  t.equal(servedBy(await ask(two)), 'b')
  two.b.status(500, { error: { message: 'boom' } })
  const failed = await ask(two)
  t.equal(failed.status, 500)
  t.match(await failed.json(), { error: { message: 'boom' } })
  t.equal(forwarded(two.a, RESPONSES.path).length, 0)
})

t.test('a route that this very server lacks is its own 404, and blames nobody', async (t) => {
  const two = await gateOverTwo(t, { missing: ['rerank', 'responses'] }, MAPPED)
  for (const path of ['/v1/rerank', '/v1/responses']) {
    const answer = await post(`${two.gate.url}${path}`, JSON.stringify({ model: 'fast' }))
    t.equal(answer.status, 404)
    t.strictSame(await answer.json(), { detail: 'Not Found' })
  }
  t.match(two.gate.reason('a'), /^ok/)
})

t.test('pooled vectors as bytes, which vLLM sends on request, pass', async (t) => {
  const bytes = Buffer.from([0, 1, 2, 255, 254, 0x7b])
  const two = await gateOverTwo(t)
  for (const path of ['/pooling', '/v1/embeddings']) {
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
