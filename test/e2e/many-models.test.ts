import t from 'tap'
import { chatBody, post } from '../support/ask.ts'
import {
  fakeKoboldCpp,
  fakeLlamaSwap,
  fakeLmStudio,
  fakeLocalAi,
  fakeOllama,
} from '../support/fake-engines.ts'
import type { FakeUpstream } from '../support/fake-upstream.ts'
import { startGate, type TestGate } from '../support/start-gate.ts'

// Goal: servers that list many models work as a newcomer finds them: no name, a listed name, another
// name for it, streams and whole answers; a load is waited for, and no probe causes one.
// Method: fakes that list, load and evict as each engine does, behind a real gate.

interface Case {
  readonly name: string
  readonly engine: string
  readonly start: (t: Parameters<typeof fakeOllama>[0]) => Promise<FakeUpstream>
  /** What a client writes, and what arrives there; null: no name. */
  readonly asks: readonly (readonly [string | null, string])[]
  /** Loads that these requests cause, in this order. */
  readonly loads: number
}

const CASES: readonly Case[] = [
  {
    name: 'Ollama',
    engine: 'ollama',
    start: (t) =>
      fakeOllama(t, [
        'nomic-embed-text:latest',
        { name: 'llama3.2:latest', bytes: 5 },
        { name: 'qwen3:8b', bytes: 3 },
        { name: 'tiny:1b-cloud', bytes: 1, cloud: true },
      ]),
    asks: [
      [null, 'qwen3:8b'],
      ['llama3.2', 'llama3.2:latest'],
      ['library/Qwen3:8b', 'qwen3:8b'],
    ],
    loads: 2,
  },
  {
    name: 'LM Studio that loads just in time',
    engine: 'lmstudio',
    start: (t) => fakeLmStudio(t, ['text-embedding-nomic', 'qwen', 'gemma']),
    asks: [
      [null, 'qwen'],
      ['gemma', 'gemma'],
      ['Gemma:2', 'gemma'],
    ],
    loads: 2,
  },
  {
    name: 'llama-swap',
    engine: 'llamaswap',
    start: (t) => fakeLlamaSwap(t, ['m1', 'm2'], { loaded: ['m2'], loadMs: 100 }),
    asks: [
      [null, 'm2'],
      ['m1', 'm1'],
      ['default', 'm1'],
    ],
    loads: 1,
  },
  {
    name: 'LocalAI',
    engine: 'openai',
    start: (t) => fakeLocalAi(t),
    asks: [
      [null, 'gpt-4'],
      ['gpt-4o', 'gpt-4o'],
    ],
    loads: 2,
  },
  {
    name: 'KoboldCpp',
    engine: 'openai',
    start: (t) => fakeKoboldCpp(t),
    asks: [
      [null, 'koboldcpp/Mistral-7B'],
      ['koboldcpp/Mistral-7B', 'koboldcpp/Mistral-7B'],
    ],
    loads: 0,
  },
]

/** A gate over one of them that has told its models. */
async function gateOver(t: Parameters<typeof startGate>[0], fake: FakeUpstream, engine: string) {
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: 'x',
    GENGATE_X_URL: fake.url,
    GENGATE_X_ENGINE: engine,
  })
  await gate.untilReason('x', 'ok', 'model_not_loaded')
  return gate
}

async function ask(gate: TestGate, model: string | null, stream: boolean): Promise<string> {
  const body = chatBody({ stream, ...(model === null ? {} : { model }) })
  const answer = await post(`${gate.url}/v1/chat/completions`, body)
  return `${answer.status} ${await answer.text()}`
}

const sentTo = (fake: FakeUpstream): unknown =>
  (JSON.parse(fake.generations.at(-1)?.body ?? '{}') as { model?: unknown }).model

for (const { name, engine, start, asks, loads } of CASES) {
  t.test(`${name}: no name, a listed name and another name for it are served`, async (t) => {
    const fake = await start(t)
    const gate = await gateOver(t, fake, engine)
    t.equal(fake.coldLoads, 0, 'no probe loads')
    for (const [model, arrives] of asks) {
      t.match(await ask(gate, model, false), /^200 .*tok0 tok1/, `${model}`)
      t.equal(sentTo(fake), arrives)
      t.match(await ask(gate, model, true), /^200 [^]*tok1[^]*\[DONE\]/, `${model}, streamed`)
      t.equal(sentTo(fake), arrives)
    }
    t.equal(fake.coldLoads, loads)
    t.match(await ask(gate, 'nobody-has-it', false), /^404 .*model_not_found/)
  })
}

t.test('an LM Studio that may load nothing serves what is in memory, and says so', async (t) => {
  const fake = await fakeLmStudio(t, ['qwen', 'gemma'], { jit: false })
  const gate = await gateOver(t, fake, 'lmstudio')
  t.match(await ask(gate, null, false), /^400 .*model_required/)
  t.match(await ask(gate, 'gemma', false), /^404 .*None is known yet/)
  t.equal(fake.generations.length, 0, 'nobody asked it for what it cannot do')
  fake.options.loaded = ['gemma']
  const other = await gateOver(t, fake, 'lmstudio')
  t.match(await ask(other, null, false), /^200/)
  t.equal(sentTo(fake), 'gemma')
})

t.test('an unknown name among hundreds is told some of them, and how many more', async (t) => {
  const names = Array.from({ length: 300 }, (_, index) => `m${index}`)
  const fake = await fakeOllama(t, names)
  const gate = await gateOver(t, fake, 'ollama')
  const answer = await ask(gate, 'nobody-has-it', false)
  t.match(answer, /Known: default, m0, .* m18 and 281 more\./)
})
