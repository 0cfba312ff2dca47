import t from 'tap'
import { engineError, namesLoading } from '../../src/api/answer.ts'
import { type ProbeKind, ROUTE_NAMES } from '../../src/api/index.ts'
import { ENGINE_KINDS, engineByOwner, ENGINES_WITH, quirksOf } from '../../src/engines/index.ts'
import { probeRequest } from '../../src/engines/probe-request.ts'
import { capturedJson } from '../probe/captures.ts'

t.test('ENGINES has one row per kind, under its own name', async (t) => {
  t.equal(new Set(ENGINE_KINDS).size, ENGINE_KINDS.length)
  t.throws(() => quirksOf('guess'), /No engine is called guess/)
  for (const kind of ENGINE_KINDS) {
    t.equal(quirksOf(kind).kind, kind)
    t.ok(quirksOf(kind).probes.length > 0, `${kind} can be probed`)
  }
})

t.test('ENGINES default ports are those of the settings table', async (t) => {
  const ports = Object.fromEntries(ENGINE_KINDS.map((kind) => [kind, quirksOf(kind).defaultPort]))
  t.strictSame(ports, {
    vllm: 8001,
    vllm_metal: 8002,
    ollama: 11_434,
    llamacpp: 8080,
    mlx: 8080,
    sglang: 30_000,
    lmstudio: 1234,
    llamaswap: 8080,
    openai: null,
    embedded: null,
  })
})

t.test('ENGINES_WITH knows where each route is', async (t) => {
  for (const route of ROUTE_NAMES) t.ok(ENGINES_WITH.get(route)?.size, `${route} is somewhere`)
  t.strictSame([...(ENGINES_WITH.get('realtime') ?? [])], ['vllm', 'vllm_metal', 'openai'])
  t.strictSame([...(ENGINES_WITH.get('chat') ?? [])].toSorted(), [...ENGINE_KINDS].toSorted())
  t.equal(ENGINES_WITH.get('responses')?.has('mlx'), false)
})

t.test('ollama: a quiet probe comes less often than its keep-alive of five minutes', async (t) => {
  t.ok(quirksOf('ollama').quietIntervalMs >= 330_000)
})

t.test('ollama: cloud models are never probed and never count as loaded', async (t) => {
  const { neverProbe, loadedQuery } = quirksOf('ollama')
  t.ok(neverProbe('gpt-oss:120b-cloud'))
  t.ok(neverProbe('kimi:cloud'))
  t.notOk(neverProbe('cloudy:latest'))
  const body = { models: [{ name: 'kimi:cloud' }, { name: 'gemma:latest' }] }
  t.strictSame(loadedQuery?.read(body), ['gemma:latest'])
})

t.test('ollama: /api/ps tells what is loaded, and nonsense tells nothing', async (t) => {
  const { loadedQuery } = quirksOf('ollama')
  t.strictSame(loadedQuery?.read(capturedJson('ollama-0.33.0-rc2/ps')), ['gemma:latest'])
  t.strictSame(loadedQuery?.read({ models: [] }), [])
  for (const body of [undefined, null, [], {}, { models: null }, 'x']) {
    t.equal(loadedQuery?.read(body), null)
  }
})

t.test('llamacpp: only a router tells what is loaded', async (t) => {
  const { loadedQuery } = quirksOf('llamacpp')
  t.equal(loadedQuery?.read(capturedJson('llamacpp-b11434/models')), null)
  const data = [
    { id: 'a', status: { value: 'unloaded' } },
    { id: 'b', aliases: ['bee'], status: { value: 'loaded' } },
    { id: 'c', status: { value: 'sleeping' } },
  ]
  t.strictSame(loadedQuery?.read({ data }), ['b', 'bee'])
  t.strictSame(loadedQuery?.read({ data: data.slice(0, 1) }), [])
})

t.test('lmstudio: loaded instances are told by key and id, language models first', async (t) => {
  const { loadedQuery } = quirksOf('lmstudio')
  const models = [
    { type: 'embedding', key: 'nomic', loaded_instances: [{ id: 'nomic' }] },
    { type: 'llm', key: 'qwen', loaded_instances: [{ id: 'qwen:2' }] },
    { type: 'llm', key: 'cold', loaded_instances: [] },
  ]
  t.strictSame(loadedQuery?.read({ models }), ['qwen', 'qwen:2', 'nomic'])
  t.equal(loadedQuery?.read({ error: 'Unexpected endpoint' }), null)
})

t.test('probeRequest() asks for max_tokens and nothing that an engine refuses', async (t) => {
  const wish = { model: 'm', maxTokens: 1 }
  const bodyOf = (kind: ProbeKind): unknown => JSON.parse(probeRequest({ kind, ...wish }).body)
  const one = { model: 'm', max_tokens: 1, temperature: 0, stream: false }
  t.strictSame(bodyOf('chat'), { ...one, messages: [{ role: 'user', content: 'OK' }] })
  t.strictSame(bodyOf('completions'), { ...one, prompt: 'OK\n' })
  t.strictSame(bodyOf('embeddings'), { model: 'm', input: 'OK' })
})

t.test('probeRequest() leaves an unknown model out', async (t) => {
  const { body, path } = probeRequest({ kind: 'chat', model: null, maxTokens: 2 })
  t.notOk('model' in (JSON.parse(body) as object))
  t.equal(path, '/v1/chat/completions')
})

t.test('engineError() knows every shape, and null is no error', async (t) => {
  const named = { error: { message: 'm', type: 't', code: 'c' } }
  for (const body of [named, { error: 'm' }, { object: 'error', message: 'm' }, { detail: 'm' }]) {
    t.equal(engineError(body)?.message, 'm', JSON.stringify(body))
  }
  t.not(engineError({ detail: [{ msg: 'x' }] }), null)
  t.not(engineError({ error: [] }), null)
  for (const body of [{ error: null }, { choices: [] }, {}, null, 'x', undefined]) {
    t.equal(engineError(body), null)
  }
})

t.test('namesLoading() does not take overload for loading', async (t) => {
  t.ok(namesLoading({ error: { message: 'Loading model' } }))
  t.ok(namesLoading({ detail: 'Model not loaded' }))
  t.notOk(namesLoading({ error: { message: 'The server is overloaded' } }))
  t.notOk(namesLoading(capturedJson('vllm-0.32.0/queue_overflow', 1)))
})

t.test('llama-swap says in words of its own that it does not know a model', async (t) => {
  const { isUnknownModel } = quirksOf('llamaswap')
  const words = 'could not find suitable inference handler for x'
  t.ok(isUnknownModel(400, { error: words }))
  t.ok(isUnknownModel(400, words), 'as text')
  t.ok(isUnknownModel(400, { error: 'could not find real modelID for x' }))
  t.notOk(isUnknownModel(502, words))
  t.notOk(isUnknownModel(400, { error: "missing or invalid 'model' key" }))
})

t.test('a server is known by the owner of its models', async (t) => {
  t.equal(engineByOwner('openai', 'llama-swap'), 'llamaswap')
  t.equal(engineByOwner('vllm', 'organization_owner'), 'lmstudio')
  t.equal(engineByOwner('ollama', 'library'), null)
  for (const owner of ['me', 'constructor', undefined, 7]) {
    t.equal(engineByOwner('openai', owner), null)
  }
})
