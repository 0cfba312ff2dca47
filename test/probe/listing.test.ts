import { readFileSync } from 'node:fs'
import t from 'tap'
import type { ListedModel } from '../../src/core/model/model-choice.ts'
import type { EngineKind } from '../../src/core/upstream.ts'
import { quirksOf } from '../../src/engines/index.ts'
import { LIST_MAX_AGE_MS, Listing } from '../../src/probe/listing.ts'
import type { Fetched } from '../../src/probe/wire.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { FakeWire, models } from './fake-wire.ts'

// Rows of docs/faults.md that are shown here: details-missing.

const tags: unknown = JSON.parse(
  readFileSync(new URL('../fixtures/cases/ollama-tags.json', import.meta.url), 'utf8'),
)
const answer = (body: unknown, status = 200): Fetched => ({ kind: 'answer', status, body })

/** A list that renews itself over a fake network. */
class Desk {
  readonly clock = new VirtualClock()
  readonly wire = new FakeWire()
  readonly told: (readonly ListedModel[])[] = []
  readonly #listing = new Listing({
    clock: this.clock,
    get: this.wire.get,
    onModels: (listed) => this.told.push(listed),
  })

  async renew(engine: EngineKind): Promise<readonly ListedModel[] | undefined> {
    await this.clock.advance(LIST_MAX_AGE_MS + 1)
    const target = { url: 'http://127.0.0.1:1', apiKey: null, connectTimeoutMs: 1_000 }
    const { signal } = new AbortController()
    const quirks = quirksOf(engine)
    const renewed = this.#listing.refresh({ target, quirks, limitMs: 1_000, signal })
    await this.clock.advance(5_000)
    await renewed
    return this.told.at(-1)
  }

  get paths(): string[] {
    return this.wire.gets.map(({ path }) => path)
  }
}

t.test("a list carries what Ollama's tags say of the same models", async (t) => {
  const desk = new Desk()
  desk.wire.answer = (path) =>
    path === '/api/tags' ? answer(tags) : models('llama3.2:latest', 'nomic-embed-text:latest')
  t.match(await desk.renew('ollama'), [
    { id: 'llama3.2:latest', work: null, sizeBytes: 2_019_393_189 },
    { id: 'nomic-embed-text:latest', work: 'embedding' },
  ])
  desk.wire.answer = (path) => (path === '/api/tags' ? 'hang' : models('llama3.2:latest'))
  t.match(await desk.renew('ollama'), [{ sizeBytes: 2_019_393_189 }], 'missing once: as before')
})

t.test('an engine without the newer list is asked for the older one', async (t) => {
  const desk = new Desk()
  const data = [{ id: 'e', type: 'embeddings' }]
  desk.wire.answer = (path) => {
    if (path === '/v1/models') return models('e', 'text-embedding-x', 'chat')
    return path === '/api/v0/models' ? answer({ data }) : answer({ error: 'Unexpected' })
  }
  t.match(await desk.renew('lmstudio'), [
    { id: 'e', work: 'embedding' },
    { id: 'text-embedding-x', work: 'embedding' },
    { id: 'chat', work: null },
  ])
  t.strictSame(desk.paths, ['/v1/models', '/api/v1/models', '/api/v0/models'])
})

t.test('what has nothing to add, or lists nothing, is asked no more', async (t) => {
  const desk = new Desk()
  await desk.renew('vllm')
  desk.wire.answer = () => answer('', 404)
  await desk.renew('ollama')
  t.strictSame(desk.paths, ['/v1/models', '/v1/models'])
  desk.wire.answer = (path) => (path === '/v1/models' ? models('m') : answer('', 404))
  t.match(await desk.renew('ollama'), [{ id: 'm', sizeBytes: null }], 'listed all the same')
})
