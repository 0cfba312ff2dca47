import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { type FakeUpstream, fakeUpstream } from './fake-upstream.ts'

interface Answer {
  readonly status: number
  /** What arrived until the end or the cut. */
  readonly text: string
  readonly how: 'end' | 'broken'
}

async function ask(
  up: FakeUpstream,
  over: object = {},
  route = 'chat/completions',
): Promise<Answer> {
  const body = JSON.stringify({ model: 'fake', messages: [], stream: true, ...over })
  let text = ''
  let status = 0
  try {
    const response = await fetch(`${up.url}/v1/${route}`, { method: 'POST', body })
    status = response.status
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true })
    return { status, text, how: 'end' }
  } catch {
    return { status, text, how: 'broken' }
  }
}

t.test('FakeUpstream streams as vLLM does', async (t) => {
  const up = await fakeUpstream(t, { tokens: 2 })
  const { text } = await ask(up, { stream_options: { include_usage: true } })
  const frames = text
    .trim()
    .split('\n\n')
    .map((line) => line.slice('data: '.length))
  t.equal(frames.pop(), '[DONE]')
  const chunks = frames.map((frame) => JSON.parse(frame))
  t.match(chunks[0], { choices: [{ delta: { role: 'assistant', content: '' } }] })
  t.match(chunks.slice(1, 3), [
    { choices: [{ delta: { content: 'tok0 ' } }] },
    { choices: [{ delta: { content: 'tok1 ' } }] },
  ])
  t.match(chunks[3], { choices: [{ finish_reason: 'stop' }] })
  t.match(chunks[4], { choices: [], usage: { completion_tokens: 2 } })
  t.equal(up.generations[0]?.ended?.how, 'finished')
})

t.test('FakeUpstream freezes and thaws, also in the middle of a stream', async (t) => {
  const up = await fakeUpstream(t, { tokens: 20, gapMs: 10 })
  const running = ask(up)
  await pause(50)
  up.freeze()
  t.equal((await fetch(`${up.url}/health`)).status, 200)
  await pause(50)
  t.equal(up.generations[0]?.ended, null)
  up.thaw()
  t.match(await running, { how: 'end', text: /tok19 .*\[DONE\]/s })
})

t.test('FakeUpstream.oneTokenThenFreeze() gives each stream one token', async (t) => {
  const up = await fakeUpstream(t)
  up.oneTokenThenFreeze()
  const gone = AbortSignal.timeout(150)
  const body = JSON.stringify({ stream: true })
  const response = await fetch(`${up.url}/v1/chat/completions`, {
    method: 'POST',
    body,
    signal: gone,
  })
  let text = ''
  await t.rejects(async () => {
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString()
  })
  t.match(text, 'tok0')
  t.notMatch(text, 'tok1')
  await pause(20)
  t.match(up.generations[0]?.ended, { how: 'cut' }, 'it sees that its client left')
})

t.test('FakeUpstream.headersOnly() sends a role and comments, never content', async (t) => {
  const up = await fakeUpstream(t, { commentMs: 10 })
  up.headersOnly()
  setTimeout(() => up.thaw(), 100)
  const { text } = await ask(up)
  t.match(text.slice(0, text.indexOf('tok0')), /"role":"assistant".*: keep-alive\n\n: keep-alive/s)
})

t.test('FakeUpstream cuts in every way', async (t) => {
  const up = await fakeUpstream(t)
  for (const [how, ends] of [
    ['reset', 'broken'],
    ['fin', 'broken'],
    ['chunked-end', 'end'],
    ['eof-framed', 'end'],
  ] as const) {
    up.cutAfter(1, how)
    const { text, how: ended } = await ask(up)
    t.equal(ended, ends, how)
    t.match(text, 'tok0', how)
    t.notMatch(text, /tok1|finish_reason":"|DONE/, how)
  }
})

t.test('FakeUpstream ends badly although all looks well', async (t) => {
  const up = await fakeUpstream(t)
  up.finishWith('abort')
  t.match(await ask(up), { how: 'end', text: /"finish_reason":"abort".*\[DONE\]/s })
  up.errorFrame(1)
  t.match(await ask(up), { how: 'end', text: /tok0.*data: \{"error".*\[DONE\]/s })
  t.match(await ask(up, { stream: false }), { status: 500 })
  up.empty()
  t.match(await ask(up), { status: 200, text: '' })
})

t.test('FakeUpstream with one slot lets others queue, and drops those that leave', async (t) => {
  const up = await fakeUpstream(t, { slots: 1, tokens: 10, gapMs: 20 })
  const first = ask(up)
  await pause(50)
  const left = AbortSignal.timeout(30)
  const body = JSON.stringify({})
  await t.rejects(fetch(`${up.url}/v1/chat/completions`, { method: 'POST', body, signal: left }))
  const third = ask(up)
  await first
  t.equal((await third).how, 'end')
  t.equal(up.running, 0)
})

t.test('FakeUpstream takes time for a prefill by its size', async (t) => {
  const up = await fakeUpstream(t, { msPerByte: 0.1 })
  const order: number[] = []
  const sizes = [10_000, 5_000, 0]
  await Promise.all(
    sizes.map(async (size) => {
      await ask(up, { padding: 'x'.repeat(size) })
      order.push(size)
    }),
  )
  t.strictSame(order, sizes.toReversed())
})

t.test('FakeUpstream as an Ollama loads on request', async (t) => {
  const up = await fakeUpstream(t, { loaded: [], loadMs: 10 })
  await ask(up)
  t.equal(up.coldLoads, 1)
  const ps = await fetch(`${up.url}/api/ps`)
  t.match(await ps.json(), { models: [{ name: 'fake' }] })
})

t.test('FakeUpstream knows keys, routes and model names', async (t) => {
  const up = await fakeUpstream(t, { strict: true, missing: ['embeddings'] })
  t.equal((await ask(up, { model: 'nope' })).status, 404)
  t.equal((await ask(up, { model: '' })).status, 200)
  t.match(await ask(up, {}, 'embeddings'), { status: 404, text: '{"detail":"Not Found"}' })
  up.options.apiKey = 'k'
  t.equal((await ask(up)).status, 401)
})
