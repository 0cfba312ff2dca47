/**
 * Goal: the embedded server keeps the OpenAI contract with real llama.cpp behind it.
 * Method: the toy is generated and loaded in this process; requests go over real sockets.
 */
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { loadEngine } from '../../src/embedded/llama.ts'
import { ensureToyModel } from '../../src/embedded/toy.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { chatAt, type Event, eventsOf, messages, post, serve } from './toy-server.ts'

const folder = await mkdtemp(join(tmpdir(), 'gengate-server-'))
t.teardown(() => rm(folder, { recursive: true }))
// No documents: what the toy says here follows from the built-in prose alone.
const modelPath = await ensureToyModel({ cacheDir: folder, packageRoot: folder })
const common = {
  moduleName: 'node-llama-cpp',
  clock: systemClock,
  random: () => 0.5,
  log: (line: string) => t.comment(line),
}
const toy = await loadEngine({ ...common, kind: 'toy', modelPath })
t.teardown(() => toy.close())
const url = await serve(t, toy)
const chatUrl = `${url}/v1/chat/completions`
const chat = (more: object) => chatAt(url, more)

const running = async (): Promise<number> => {
  const health: { running: number } = JSON.parse(await (await fetch(`${url}/health`)).text())
  return health.running
}
/** What a stream says, in one piece. */
const textOf = (events: readonly Event[]): string =>
  events.map(({ choices }) => choices?.[0]?.delta?.content ?? choices?.[0]?.text ?? '').join('')

t.test('chat answers in words, with usage and labels', async (t) => {
  const response = await post(chatUrl, { messages, max_tokens: 12 })
  t.equal(response.status, 200)
  t.equal(response.headers.get('x-gengate-embedded'), 'toy')
  await response.body?.cancel()
  const answer = await chat({ max_tokens: 12, seed: 1, ignore_eos: true })
  t.equal(answer.role, 'assistant')
  t.equal(answer.model, 'gengate-toy-bigram')
  t.match(answer.content, /^[A-Za-z]+( [A-Za-z]+|[.,:;?!])+/, answer.content)
  t.equal(answer.finish, 'length')
  t.equal(answer.usage['completion_tokens'], 12)
  t.ok((answer.usage['prompt_tokens'] ?? 0) >= 4)
})

t.test('max_tokens and max_completion_tokens bound the answer; 128 is the default', async (t) => {
  const rows = [{ max_tokens: 1 }, { max_completion_tokens: 3 }, {}]
  const answers = await Promise.all(rows.map((more) => chat({ ignore_eos: true, ...more })))
  t.same(
    answers.map(({ usage }) => usage['completion_tokens']),
    [1, 3, 128],
  )
})

t.test('the same seed gives the same answer, another seed another', async (t) => {
  const [a, b, c] = [await chat({ seed: 7 }), await chat({ seed: 7 }), await chat({ seed: 8 })]
  t.equal(a.content, b.content)
  t.not(a.content, c.content)
  const [cold, colder] = [await chat({ temperature: 0 }), await chat({ temperature: 0, seed: 9 })]
  t.equal(cold.content, colder.content)
})

t.test('stop strings end the answer and are not part of it, also within a word', async (t) => {
  const whole = (await chat({ seed: 3, ignore_eos: true })).content
  const word = whole.split(' ')[4] ?? ''
  for (const stop of [` ${word}`, [word.slice(1)], ['never said', '.']]) {
    const { content, finish } = await chat({ seed: 3, ignore_eos: true, stop })
    const places = [stop].flat().map((text) => whole.indexOf(text))
    const ends = places.filter((at) => at >= 0)
    t.equal(content.trimEnd(), whole.slice(0, Math.min(...ends)).trimEnd())
    t.equal(finish, 'stop')
  }
})

t.test('a chat stream is role, pieces, reason, usage, [DONE], as unary says', async (t) => {
  const body = { messages, seed: 5, stream: true, stream_options: { include_usage: true } }
  const response = await post(chatUrl, body)
  t.match(response.headers.get('content-type'), 'text/event-stream')
  const { events: all, done } = await eventsOf(response)
  t.ok(done)
  t.ok(all.every((event) => event.object === 'chat.completion.chunk'))
  t.strictSame(all[0]?.choices?.[0]?.delta, { role: 'assistant', content: '' })
  const unary = await chat({ seed: 5 })
  const pieces = all.map((event) => event.choices?.[0]?.delta?.content ?? '')
  t.equal(pieces.join(''), unary.content)
  t.ok(pieces.filter((piece) => piece !== '').length > 3, 'it comes in pieces')
  t.equal(all.at(-2)?.choices?.[0]?.finish_reason, unary.finish)
  t.strictSame(all.at(-1)?.usage, unary.usage)
  t.strictSame(all.at(-1)?.choices, [])
})

t.test('completions continue the prompt, and have usage only if asked', async (t) => {
  const body = { prompt: 'The gate', max_tokens: 6, seed: 2, ignore_eos: true }
  const unary = (await (await post(`${url}/v1/completions`, body)).json()) as Event
  t.match(unary.choices?.[0]?.text, /^[ ,.]\s*\w+/)
  const { events: all, done } = await eventsOf(
    await post(`${url}/v1/completions`, { ...body, stream: true }),
  )
  t.ok(done)
  t.equal(textOf(all), unary.choices?.[0]?.text)
  t.ok(all.every((event) => event.object === 'text_completion' && event.usage === undefined))
  t.equal(all.at(-1)?.choices?.[0]?.finish_reason, 'length')
})

t.test('six requests at once share four sequences, and each gets its own answer', async (t) => {
  const alone = await Promise.all([1, 2, 3, 4, 5, 6].map((seed) => chat({ seed, max_tokens: 40 })))
  for (const [i, answer] of alone.entries()) {
    t.equal(answer.content, (await chat({ seed: i + 1, max_tokens: 40 })).content)
  }
})

t.test('a client that leaves ends its generation, streamed, unary or waiting', async (t) => {
  const long = { messages, max_tokens: 8_000, ignore_eos: true }
  for (const stream of [true, false]) {
    const gone = new AbortController()
    const requests = Array.from({ length: 6 }, () =>
      post(chatUrl, { ...long, stream }, gone.signal)
        .then((response) => response.text())
        .then(() => 'finished')
        .catch(() => 'aborted'),
    )
    while ((await running()) < 4) await wait(5)
    gone.abort()
    t.strictSame(new Set(await Promise.all(requests)), new Set(['aborted']))
    // Who comes now does not wait for them: each had thousands of tokens to go.
    await chat({ max_tokens: 200, ignore_eos: true })
    t.ok((await running()) < 2, 'all sequences are free')
  }
  t.ok((await chat({ max_tokens: 3 })).content.length > 0, 'and they are usable again')
})

t.test('more than 32 waiting requests are refused at once, to be tried again', async (t) => {
  const gone = new AbortController()
  const long = { messages, max_tokens: 8_000, ignore_eos: true }
  const codes: string[] = []
  const requests = Array.from({ length: 40 }, async () => {
    const response = await post(chatUrl, long, gone.signal)
    t.equal(response.headers.get('retry-after'), '1')
    const { error } = (await response.json()) as { error: { code: string } }
    if (codes.push(`${response.status} ${error.code}`) === 4) gone.abort()
  })
  const ends = await Promise.allSettled(requests)
  t.strictSame(codes, Array(4).fill('503 queue_full'))
  t.equal(ends.filter(({ status }) => status === 'fulfilled').length, 4)
  while ((await running()) > 0) await wait(5)
})

t.test('GET /v1/models lists the one model, and /health says how busy it is', async (t) => {
  const list = (await (await fetch(`${url}/v1/models`)).json()) as { data: object[] }
  t.match(list, { object: 'list', data: [{ id: 'gengate-toy-bigram', owned_by: 'embedded' }] })
  t.equal((await fetch(`${url}/v1/models/gengate-toy-bigram`)).status, 200)
  t.equal((await fetch(`${url}/v1/models/other`)).status, 404)
  const health = await (await fetch(`${url}/health`)).json()
  t.match(health, { status: 'ok', model: 'gengate-toy-bigram', running: 0, waiting: 0 })
})

const LONG = [{ role: 'user', content: 'gate '.repeat(9_000) }]

t.test('errors have the OpenAI shape with all four keys', async (t) => {
  const get = await fetch(chatUrl)
  t.equal(get.headers.get('allow'), 'POST')
  const cases: [Promise<Response>, number, string][] = [
    [Promise.resolve(get), 405, 'method_not_allowed'],
    [fetch(`${url}/v1/models`, { method: 'DELETE' }), 405, 'method_not_allowed'],
    [fetch(`${url}/v1/nothing`), 404, 'not_found'],
    [post(chatUrl, '{"a":'), 400, 'invalid_json'],
    [post(chatUrl, '[]'), 400, 'invalid_value'],
    [post(chatUrl, { messages, model: 'gpt-5' }), 404, 'model_not_found'],
    [post(chatUrl, `"${'x'.repeat(20 * 1024 * 1024)}"`), 413, 'request_too_large'],
    [post(chatUrl, { messages: LONG }), 400, 'context_length_exceeded'],
    [post(`${url}/v1/embeddings`, { input: 'x' }), 501, 'not_supported'],
    [fetch(chatUrl, { method: 'POST', body: '{}' }), 415, 'unsupported_media_type'],
  ]
  for (const [sent, status, code] of cases) {
    const response = await sent
    t.equal(response.status, status, code)
    const { error } = (await response.json()) as { error: Record<string, unknown> }
    t.equal(error['code'], code)
    t.strictSame(Object.keys(error).toSorted(), ['code', 'message', 'param', 'type'])
  }
})

t.test('a GGUF by path is named by its file and answers by its own chat template', async (t) => {
  const path = join(folder, 'Some.Model-Q8.gguf')
  await copyFile(modelPath, path)
  const engine = await loadEngine({ ...common, kind: 'gguf', modelPath: path })
  t.teardown(() => engine.close())
  const base = await serve(t, engine)
  const list = await (await fetch(`${base}/v1/models`)).json()
  t.match(list, { data: [{ id: 'Some.Model-Q8' }] })
  const system = { role: 'system', content: 'The gate' }
  const past = { role: 'assistant', content: 'It is the gate' }
  const ask = { role: 'user', content: 'Tell me of the gate' }
  const body = { messages: [system, ...messages, past, ask], max_tokens: 8, seed: 1 }
  const { content, usage } = await chatAt(base, body)
  t.match(content, /[A-Za-z]{2,} [A-Za-z]+/, content)
  t.equal(usage['completion_tokens'], 8)
  t.ok((usage['prompt_tokens'] ?? 0) > 12, 'the whole conversation is the prompt')
  const response = await post(`${base}/v1/chat/completions`, { ...body, stream: true })
  t.equal(response.headers.get('x-gengate-embedded'), 'gguf')
  const { events: all, done } = await eventsOf(response)
  t.ok(done)
  t.equal(textOf(all), content)
})
