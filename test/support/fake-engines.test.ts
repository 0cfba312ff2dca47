import t from 'tap'
import {
  fakeKoboldCpp,
  fakeLlamaSwap,
  fakeLmStudio,
  fakeLocalAi,
  fakeOllama,
} from './fake-engines.ts'
import type { FakeUpstream } from './fake-upstream.ts'

const get = async (fake: FakeUpstream, path: string) =>
  (await fetch(`${fake.url}${path}`)).json() as Promise<Record<string, unknown>>
const chat = async (fake: FakeUpstream, model?: string, signal?: AbortSignal) => {
  const body = JSON.stringify({ model, messages: [] })
  const init = { method: 'POST', body, ...(signal === undefined ? {} : { signal }) }
  const answer = await fetch(`${fake.url}/v1/chat/completions`, init)
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

t.test('the fake LM Studio loads what a request names, and keeps one', async (t) => {
  const fake = await fakeLmStudio(t, ['a', 'b', 'embed'])
  t.equal((await chat(fake, 'a')).status, 200)
  t.equal((await chat(fake, 'b')).status, 200)
  t.strictSame(fake.options.loaded, ['b'])
  t.match(await get(fake, '/api/v1/models'), {
    models: [
      { key: 'a', type: 'llm', loaded_instances: [] },
      { key: 'b', loaded_instances: [{ id: 'b' }] },
      { key: 'embed', type: 'embedding' },
    ],
  })
  const manual = await fakeLmStudio(t, ['a'], { jit: false })
  t.match(await chat(manual, 'a'), { status: 400, body: { error: { code: 'model_not_found' } } })
  t.match(await get(manual, '/v1/models'), { data: [] })
  manual.options.loaded = ['a']
  t.equal((await chat(manual, 'a')).status, 200)
})

t.test('the fake llama-swap ends one server before it starts the next', async (t) => {
  const fake = await fakeLlamaSwap(t, ['m1', 'm2'], { loaded: ['m1'], loadMs: 10_000 })
  const leaving = new AbortController()
  const left = chat(fake, 'm2', leaving.signal)
  while (fake.loading === null) await new Promise((resolve) => setTimeout(resolve, 1))
  t.match(await get(fake, '/running'), { running: [{ model: 'm2', state: 'starting' }] })
  leaving.abort()
  await t.rejects(left)
  fake.options.loadMs = 0
  t.equal((await chat(fake, 'm2')).status, 200)
  t.match(await get(fake, '/running'), { running: [{ model: 'm2', state: 'ready' }] })
  t.equal((await chat(fake)).status, 400)
})

t.test('the fake KoboldCpp takes any name and gives no reason', async (t) => {
  const fake = await fakeKoboldCpp(t)
  t.match(await get(fake, '/v1/models'), { data: [{ id: 'koboldcpp/Mistral-7B' }] })
  const { body } = await chat(fake, 'whatever')
  t.match(body, { choices: [{ message: {}, finish_reason: null }] })
})

t.test('the fake LocalAI lists all kinds, and a load that is left is given up', async (t) => {
  const fake = await fakeLocalAi(t, undefined, { loadMs: 10_000 })
  const leaving = new AbortController()
  const asked = chat(fake, 'gpt-4', leaving.signal)
  while (fake.loading === null) await new Promise((resolve) => setTimeout(resolve, 1))
  leaving.abort()
  await t.rejects(asked)
  while (fake.loading !== null) await new Promise((resolve) => setTimeout(resolve, 1))
  t.strictSame(fake.options.loaded, [])
  t.equal((await chat(fake, 'nope')).status, 404)
})

t.test('a model of the fake Ollama hangs while another answers', async (t) => {
  const fake = await fakeOllama(t, ['chat:latest', { name: 'nomic-embed-text', bytes: 5 }])
  t.match(await get(fake, '/api/tags'), {
    models: [{ name: 'chat:latest' }, { size: 5, details: { family: 'nomic-bert' } }],
  })
  fake.freeze('chat:latest')
  const left = new AbortController()
  const frozen = chat(fake, 'chat:latest', left.signal)
  t.equal((await chat(fake, 'nomic-embed-text')).status, 200)
  left.abort()
  await t.rejects(frozen)
  t.strictSame(fake.options.loaded, ['chat:latest', 'nomic-embed-text'])
  fake.thaw()
  t.equal((await chat(fake, 'chat')).status, 200, 'a bare name')
})
