import assert from 'node:assert/strict'
import { after, before, describe, test, type TestContext } from 'node:test'
import { teardownOf } from '../clients/stage.ts'
import { post, readStream, servedBy } from '../support/ask.ts'
import { startGate, type TestGate } from '../support/start-gate.ts'
import { howToGet, isWanted, programOf } from './installed.ts'
import { ask, prove } from './prove.ts'
import { askDirectly, endings, type Running, sleep, startEngine, until as soon } from './start.ts'

// Goal: an Ollama as people have it, with several models and none named to the gate. Method: three models, two to
// chat and one that embeds; one of them fits into memory, or two.

const WAIT_MS = 60_000
/** Two probe intervals while clients are active, and some. */
const LOOK_ON_MS = 6_000
const LISTED = ['gemma:latest', 'gemma:large', 'tiny-embed:latest']

if (isWanted('ollama', process.env)) {
  prove('ollama', 'llamacpp')
  withRoomFor(1, 'an Ollama with three models and room for one', (ollama) => {
    test('no name, nothing in memory: the smallest that chats is loaded', (t) =>
      smallest(t, ollama()))
    test('a bare name is the listed one, streamed and not', (t) => bareName(t, ollama()))
    test('another model takes its place on demand, and no probe loads or evicts', (t) =>
      eviction(t, ollama()))
    test('a name that nobody lists is 404, with those that are', (t) => unknownName(t, ollama()))
  })
  withRoomFor(2, 'an Ollama with three models and room for two', (ollama) => {
    test('a chat model that hangs is out, and its neighbour embeds', (t) => halfWedged(t, ollama()))
  })
} else {
  const why =
    programOf('ollama', process.env) === null ? howToGet('ollama') : 'ENGINES does not name it'
  process.stdout.write(`# skipped: ${why}\n`)
}

function withRoomFor(models: number, title: string, tests: (ollama: () => Running) => void): void {
  describe(title, { concurrency: 1 }, () => {
    const own = endings()
    let running: Running
    before(async () => {
      const room = { OLLAMA_MAX_LOADED_MODELS: String(models) }
      running = await startEngine(own, 'ollama', undefined, room)
      const { data } = (await (await fetch(`${running.url}/v1/models`)).json()) as {
        data: { id: string }[]
      }
      assert.deepEqual(data.map(({ id }) => id).toSorted(), LISTED.toSorted(), 'its models')
    })
    after(own.end)
    tests(() => running)
  })
}

async function smallest(t: TestContext, ollama: Running): Promise<void> {
  await unload(ollama, 'gemma:latest')
  const gate = await gateOver(t, ollama)
  await gate.untilReason('ollama', 'model_not_loaded')
  const messages = [{ role: 'user', content: 'hello' }]
  const answer = await post(
    `${gate.url}/v1/chat/completions`,
    JSON.stringify({ messages, max_tokens: 4 }),
  )
  assert.equal(await modelOf(answer), 'gemma:latest')
  assert.deepEqual(await inMemory(ollama), ['gemma:latest'])
}

async function bareName(t: TestContext, ollama: Running): Promise<void> {
  const gate = await gateOver(t, ollama)
  const unary = await ask(gate, { model: 'gemma', max_tokens: 4 })
  assert.equal(await modelOf(unary), 'gemma', 'as the client wrote it')
  await streams(gate, 'gemma')
  assert.equal((await fetch(`${gate.url}/v1/models/gemma`)).status, 200)
  assert.deepEqual(await inMemory(ollama), ['gemma:latest'], 'and no second copy of it')
}

async function eviction(t: TestContext, ollama: Running): Promise<void> {
  const gate = await gateOver(t, ollama)
  await streams(gate, 'gemma:large')
  await staysInMemory(ollama, ['gemma:large'])
  await modelOf(await ask(gate, { model: '', max_tokens: 4 }))
  assert.deepEqual(await inMemory(ollama), ['gemma:large'], 'no name means the one in memory')
  await embeds(gate)
  await staysInMemory(ollama, ['tiny-embed:latest'])
  await modelOf(await ask(gate, { max_tokens: 4 }))
  assert.deepEqual(await inMemory(ollama), ['gemma:large'], 'the one that was proven last')
}

async function unknownName(t: TestContext, ollama: Running): Promise<void> {
  const gate = await gateOver(t, ollama)
  await gate.until(() => gate.reason('ollama') !== 'not_probed_yet', WAIT_MS)
  const answer = await ask(gate, { model: 'nope', max_tokens: 4 })
  assert.equal(answer.status, 404)
  const text = await answer.text()
  for (const name of LISTED) assert.ok(text.includes(name), text)
}

async function halfWedged(t: TestContext, ollama: Running): Promise<void> {
  assert.equal((await askDirectly(ollama)).status, 200)
  const gate = await gateOver(t, ollama)
  assert.equal((await ask(gate, { max_tokens: 4 })).status, 200)
  await embeds(gate)
  const thaw = await ollama.freeze()
  try {
    const [first] = await Promise.all([ask(gate, { max_tokens: 4 }), embeds(gate)])
    assert.notEqual(first.status, 200)
    await until(async () => (await ask(gate, { max_tokens: 4 })).status === 503)
    const refused = await (await ask(gate, { max_tokens: 4 })).text()
    assert.match(refused, /ollama: (?:wedged|probe_missed|silent|live_failure)/)
    await embeds(gate)
    await sleep(LOOK_ON_MS)
    await embeds(gate)
  } finally {
    await thaw()
  }
  await until(async () => (await ask(gate, { max_tokens: 4 })).status === 200)
}

/** What probes would load or evict shows within a few of their intervals. */
async function staysInMemory(ollama: Running, models: readonly string[]): Promise<void> {
  const end = performance.now() + LOOK_ON_MS
  while (performance.now() < end) {
    assert.deepEqual(await inMemory(ollama), models)
    await sleep(500)
  }
}

async function embeds(gate: TestGate): Promise<void> {
  const answer = await post(
    `${gate.url}/v1/embeddings`,
    JSON.stringify({ model: 'tiny-embed', input: 'hello' }),
  )
  assert.equal(answer.status, 200, await answer.clone().text())
  assert.equal(servedBy(answer), 'ollama')
  const { data } = (await answer.json()) as { data: { embedding: number[] }[] }
  assert.equal(data[0]?.embedding.length, 128)
}

async function inMemory({ url }: Running): Promise<string[]> {
  const { models } = (await (await fetch(`${url}/api/ps`)).json()) as { models: { name: string }[] }
  return models.map(({ name }) => name).toSorted()
}

/** As `ollama stop` does. */
async function unload(ollama: Running, model: string): Promise<void> {
  const body = JSON.stringify({ model, keep_alive: 0 })
  await (await fetch(`${ollama.url}/api/generate`, { method: 'POST', body })).text()
  await until(async () => (await inMemory(ollama)).length === 0)
}

function gateOver(t: TestContext, { url }: Running): Promise<TestGate> {
  return startGate(teardownOf(t), { GENGATE_UPSTREAMS: `ollama=${url}` })
}

const until = (check: () => Promise<boolean>): Promise<void> =>
  soon(check, { limitMs: WAIT_MS, everyMs: 500 })

/** Asks once; the model that the answer names. */
async function modelOf(answer: Response): Promise<string> {
  assert.equal(answer.status, 200, await answer.clone().text())
  return ((await answer.json()) as { model: string }).model
}

async function streams(gate: TestGate, model: string): Promise<void> {
  const end = await readStream(await ask(gate, { model, stream: true, max_tokens: 4 }))
  assert.ok(end.done && end.error === null && !end.broken, JSON.stringify(end))
}
