import { readFileSync } from 'node:fs'
import t from 'tap'
import { generates, idsOf, type ListedModel } from '../../src/core/model/model-choice.ts'
import type { EngineKind } from '../../src/core/upstream.ts'
import { quirksOf } from '../../src/engines/index.ts'
import { listedModels, withDetails, workOfName, workOfWords } from '../../src/engines/model-list.ts'
import { capturedJson } from '../probe/captures.ts'

// Rows of docs/faults.md that are shown here: embedding-listed.

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../fixtures/cases/${name}.json`, import.meta.url), 'utf8'))
const list = (...entries: unknown[]) => listedModels({ data: entries }) ?? []
const only = (models: readonly ListedModel[] | null | undefined): ListedModel => {
  const [model] = models ?? []
  if (model === undefined) throw new Error('nothing is listed')
  return model
}
const details = (engine: EngineKind, body: unknown, index = 0) =>
  quirksOf(engine).details[index]?.read(body) ?? null

const status = (...args: string[]) => ({ value: 'loaded', args })
const ids = (name: string) => idsOf(listedModels(capturedJson(name)))
const worksOf = (models: readonly ListedModel[] | null) => models?.map(({ work }) => work)
const works = (...ids: string[]) => ids.map((id) => workOfName(id))

t.test('listedModels() reads every list seen live', async (t) => {
  t.strictSame(ids('vllm-0.32.0/models'), ['tiny'])
  t.strictSame(ids('ollama-0.33.0-rc2/models'), ['gemma:latest'])
  t.strictSame(ids('llamacpp-b10434/models'), ['model/gemma-3-270m-q4_k_m.gguf'])
  t.strictSame(listedModels({ object: 'list', data: null }), [], 'an empty Ollama')
  t.equal(ids('mlx-lm-0.32.2/models'), null, 'an empty body is no list')
})

t.test('listedModels() survives nonsense and keeps a bounded number of names', async (t) => {
  for (const body of [undefined, null, 1, 'x', [], {}, { data: {} }, { data: 'x' }]) {
    t.equal(listedModels(body), null)
  }
  t.strictSame(idsOf(list({ id: 'a' }, { id: 'a' }, { id: 7 }, {}, null, { id: '' })), ['a'])
  t.strictSame(idsOf(list({ id: 'x'.repeat(257) })), [])
  const data = Array.from({ length: 5_000 }, (_, index) => ({ id: `m${index}` }))
  t.equal(listedModels({ data })?.length, 1_000)
})

t.test('what clients use of an entry is kept, and no more than 4 KiB of it', async (t) => {
  const { fields } = only(listedModels(capturedJson('vllm-0.32.0/models')))
  t.strictSame(fields, {
    created: 1_795_391_419,
    owned_by: 'vllm',
    root: '/srv/engines/model/tiny-llama',
    parent: null,
    max_model_len: 2048,
  })
  const llama = only(listedModels(capturedJson('llamacpp-b11434/models')))
  t.match(llama.fields, { owned_by: 'llamacpp', meta: { n_ctx: 4096, n_params: 268_098_176 } })
  t.equal(llama.sizeBytes, 246_587_904)
  const big = only(list({ id: 'a', note: 'x'.repeat(4_096), created: 7 }))
  t.strictSame(big.fields, { created: 7 }, 'a field that does not fit is left out')
  const many = Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`f${i}`, 'x']))
  t.ok(JSON.stringify(only(list({ id: 'a', ...many })).fields).length < 3 * 4_096)
  const secret = { value: 'loaded', args: ['llama-server', '--api-key', 'sk-1'] }
  t.notMatch(JSON.stringify(list({ id: 'a', status: secret })), 'sk-1', 'no command line')
})

t.test("llama.cpp's router tells aliases, and what a model is for by its arguments", async (t) => {
  const models = list(
    { id: 'a', aliases: ['a', 'fast', 7, ''], status: status('llama-server') },
    { id: 'b', status: status('llama-server', '--embeddings') },
    { id: 'c', status: status('--reranking') },
  )
  t.strictSame(models[0]?.aliases, ['fast'])
  t.same(worksOf(models), [null, 'embedding', 'rerank'])
})

t.test("Ollama's tags tell size, kind and what runs elsewhere", async (t) => {
  const models = details('ollama', fixture('ollama-tags'))
  t.strictSame(
    models?.map(({ id, work, local, sizeBytes }) => [id, work, local, sizeBytes]),
    [
      ['nomic-embed-text:latest', 'embedding', true, 274_302_450],
      ['llama3.2:latest', null, true, 2_019_393_189],
      ['qwen3:8b', null, true, 5_225_388_164],
      ['gpt-oss:120b-cloud', null, false, 384],
    ],
  )
  const seen = only(details('ollama', capturedJson('ollama-0.33.0-rc2/tags')))
  t.match(seen, { id: 'gemma:latest', work: 'generation', sizeBytes: 253_113_180 })
  t.match(seen.fields, { context_length: 32_768, details: { family: 'gemma3' } })
  const one = (over: object) => only(details('ollama', { models: [{ name: 'm', ...over }] }))
  t.equal(one({ remote_host: 'https://ollama.com:443' }).local, false)
  t.equal(one({ name: 'm:Cloud' }).local, false)
  t.equal(one({ details: { families: ['nomic-bert-moe'] } }).work, 'embedding')
  t.equal(one({ capabilities: ['embedding'] }).work, 'embedding')
  t.equal(one({ capabilities: ['image'] }).work, 'other')
  t.equal(one({ name: 'embeddinggemma', details: { family: 'gemma3' } }).work, 'embedding')
  t.equal(details('ollama', { error: 'x' }), null)
})

t.test("LM Studio's own lists tell type, size and the names of instances", async (t) => {
  const fields = { type: 'llm', size_bytes: 5_000, max_context_length: 40_960 }
  const loaded_instances = [{ id: 'qwen/qwen3-8b' }, { id: 'mine' }]
  const models = details('lmstudio', {
    models: [
      { ...fields, key: 'qwen/qwen3-8b', loaded_instances },
      { type: 'embedding', key: 'text-nomic', loaded_instances: [] },
      { type: 'voice', key: 'v' },
    ],
  })
  t.match(models?.[0], { work: 'generation', sizeBytes: 5_000, aliases: ['mine'] })
  t.strictSame(models?.[0]?.fields, fields)
  t.same(worksOf(models), ['generation', 'embedding', 'other'])
  const data = [
    { id: 'q', type: 'vlm', state: 'not-loaded', max_context_length: 32_768 },
    { id: 'e', type: 'embeddings', state: 'loaded' },
  ]
  const older = details('lmstudio', { data }, 1)
  t.same(
    [idsOf(older), worksOf(older)],
    [
      ['q', 'e'],
      ['generation', 'embedding'],
    ],
  )
  t.equal(details('lmstudio', { error: 'Unexpected endpoint' }), null)
})

t.test('withDetails() keeps the list, and adds what is said of the same models', async (t) => {
  const listed = list({ id: 'gemma', created: 1, owned_by: 'me' }, { id: 'other' })
  const more = details('ollama', {
    models: [{ name: 'gemma:latest', size: 5, created: 2 }, { name: 'gone' }],
  })
  const merged = withDetails('ollama', listed, more ?? [])
  t.strictSame(idsOf(merged), ['gemma', 'other'])
  t.match(merged[0], { sizeBytes: 5, fields: { created: 1, owned_by: 'me', size: 5 } })
  t.strictSame(merged[1], listed[1])
})

t.test('several served names and adapters of one vLLM are models of their own', async (t) => {
  const models = listedModels(fixture('vllm-models'))
  t.strictSame(idsOf(models), ['qwen', 'gpt-4o', 'sql-lora'])
  t.match(models?.[2]?.fields, { parent: 'qwen', max_model_len: 32_768 })
})

t.test('a name tells what it is for only where the engine does not', async (t) => {
  const embeddings = ['text-embedding-ada-002', 'BAAI/bge-m3', 'intfloat/e5-large', 'gte-base']
  t.strictSame(new Set(works(...embeddings, 'nomic-embed-text')), new Set(['embedding']))
  t.strictSame(new Set(works('bge-reranker-v2', 'jina-reranker-v1')), new Set(['rerank']))
  const others = ['whisper-1', 'tts-1', 'stablediffusion', 'dall-e-3', 'silero-vad']
  t.strictSame(new Set(works(...others)), new Set(['other']))
  const chats = ['gpt-4o', 'qwen3:8b', 'gemma-3', 'large5-x', 'attsy', 'koboldcpp/Mistral-7B']
  t.strictSame(new Set(works(...chats)), new Set([null]))
  const said = only(list({ id: 'text-embedding-3', capabilities: ['chat'] }))
  t.ok(generates(said), 'it says so itself')
  t.equal(workOfWords(['embed', 'x']), 'embedding')
  t.equal(workOfWords([7, {}, 'tools']), null)
})
