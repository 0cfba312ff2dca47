import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { type FakeOptions, FakeUpstream } from './fake-upstream.ts'

/**
 * Engines as they list, load and refuse, over FakeUpstream: generations, freezing and cuts are its
 * own. `options.loaded`, `models` and `memory` may be changed at any time.
 */

/** A model as a test lists it. */
export interface FakeModel {
  readonly name: string
  readonly embeds?: boolean
  readonly bytes?: number
  /** It runs elsewhere (Ollama). */
  readonly cloud?: boolean
}

interface Teardown {
  teardown: (end: () => Promise<void>) => unknown
}

const embeds = ({ name, embeds = /embed/.test(name) }: FakeModel): boolean => embeds
const named = (models: readonly (string | FakeModel)[]): FakeModel[] =>
  models.map((one) => (typeof one === 'string' ? { name: one } : one))

async function started(
  t: Teardown,
  models: readonly FakeModel[],
  options: FakeOptions,
): Promise<FakeUpstream> {
  const names = models.map(({ name }) => name)
  const fake = new FakeUpstream({ models: names, loaded: [], ...options })
  t.teardown(() => fake.close())
  await fake.listen()
  return fake
}

/** Answers GETs of `path` with what `body` gives at that time. */
function tells(fake: FakeUpstream, path: string, body: () => unknown): void {
  fake.handlers.set(path, (_req, res) => json(res, 200, body()))
}

function json(res: ServerResponse, status: number, body: unknown): void {
  res.writeHead(status, { 'content-type': 'application/json' })
  res.end(JSON.stringify(body))
}

/** Ollama: `/api/tags`, `/api/ps`; a request loads what it names, two stay in memory. */
export async function fakeOllama(
  t: Teardown,
  models: readonly (string | FakeModel)[],
  options: FakeOptions = {},
): Promise<FakeUpstream> {
  const all = named(models)
  const known = (model: string): boolean =>
    all.some(({ name }) => name === model || name === `${model}:latest`)
  const fake = await started(t, all, {
    memory: 2,
    refusal: (model) => {
      const error = { message: '', type: 'invalid_request_error', param: null, code: null }
      if (model === null)
        return { status: 400, body: { error: { ...error, message: 'model is required' } } }
      if (known(model)) return null
      const message = `model '${model}' not found`
      return { status: 404, body: { error: { ...error, message, type: 'not_found_error' } } }
    },
    ...options,
  })
  tells(fake, '/v1/models', () => ({
    object: 'list',
    data: all.map(({ name }) => ({ id: name, object: 'model', created: 1, owned_by: 'library' })),
  }))
  tells(fake, '/api/tags', () => ({
    models: all.map((model) => ({
      name: model.name,
      model: model.name,
      size: model.bytes ?? 1_000,
      details: embeds(model) ? { family: 'nomic-bert' } : { family: 'llama' },
      ...(model.cloud === true ? { remote_host: 'https://ollama.com:443' } : {}),
    })),
  }))
  return fake
}

export interface LmStudioOptions extends FakeOptions {
  /** Does a request load the model that it names? */
  readonly jit?: boolean
}

/** LM Studio 0.4: with just-in-time loading one model is in memory, without it nothing is loaded. */
export async function fakeLmStudio(
  t: Teardown,
  models: readonly (string | FakeModel)[],
  { jit = true, ...options }: LmStudioOptions = {},
): Promise<FakeUpstream> {
  const all = named(models)
  const fake = await started(t, all, { memory: 1, ...options })
  const loaded = (): readonly string[] => fake.options.loaded ?? []
  fake.options.refusal = (model) => {
    const known = model !== null && all.some(({ name }) => name === model)
    if (known && (jit || loaded().includes(model))) return null
    return { status: 400, body: NO_MODELS_LOADED }
  }
  tells(fake, '/v1/models', () => ({
    object: 'list',
    data: all
      .filter(({ name }) => jit || loaded().includes(name))
      .map(({ name }) => ({ id: name, object: 'model', owned_by: 'organization_owner' })),
  }))
  tells(fake, '/api/v1/models', () => ({
    models: all.map((model) => ({
      type: embeds(model) ? 'embedding' : 'llm',
      key: model.name,
      size_bytes: model.bytes ?? 1_000,
      max_context_length: 32_768,
      loaded_instances: loaded().includes(model.name) ? [{ id: model.name, config: {} }] : [],
    })),
  }))
  fake.handlers.set('/api/ps', (_req, res) => json(res, 200, UNEXPECTED))
  return fake
}

/** What it says while nothing is in memory and it may load nothing. */
const NO_MODELS_LOADED: unknown = JSON.parse(
  readFileSync(
    new URL('../fixtures/cases/answer-no-models-loaded.http', import.meta.url),
    'utf8',
  ).split('\r\n\r\n')[1] ?? '',
)
/** 200 to any path that it does not know. */
const UNEXPECTED = { error: 'Unexpected endpoint or method. (GET /api/ps). Returning 200 anyway' }

/** llama-swap: a server for the model that is asked for, and the one before is ended first. */
export async function fakeLlamaSwap(
  t: Teardown,
  models: readonly (string | FakeModel)[],
  options: FakeOptions = {},
): Promise<FakeUpstream> {
  const all = named(models)
  const fake = await started(t, all, {
    memory: 1,
    refusal: (model) => {
      if (model === null) return { status: 400, body: { error: "missing or invalid 'model' key" } }
      if (all.some(({ name }) => name === model)) return null
      const error = `could not find suitable inference handler for ${model}`
      return { status: 400, body: { error } }
    },
    ...options,
  })
  tells(fake, '/v1/models', () => ({
    object: 'list',
    data: all.map(({ name }) => ({
      id: name,
      object: 'model',
      created: 1,
      owned_by: 'llama-swap',
    })),
  }))
  tells(fake, '/running', () => {
    const ready = (fake.options.loaded ?? []).map((model) => ({ model, state: 'ready' }))
    const starts = fake.loading === null ? [] : [{ model: fake.loading, state: 'starting' }]
    return {
      running: [...ready, ...starts].map((one) => ({ ...one, cmd: 'llama-server', ttl: 0 })),
    }
  })
  fake.handlers.set('/api/ps', (_req, res) => res.writeHead(404).end('404 page not found'))
  return fake
}

/** KoboldCpp: one model under whatever name; its answers may carry no finish reason. */
export async function fakeKoboldCpp(
  t: Teardown,
  model = 'Mistral-7B',
  options: FakeOptions = {},
): Promise<FakeUpstream> {
  const id = `koboldcpp/${model}`
  const fake = await started(t, [{ name: id }], { loaded: null, ...options })
  fake.finishWith(null)
  tells(fake, '/v1/models', () => ({
    object: 'list',
    data: [
      { id, object: 'model', created: 1, owned_by: 'koboldcpp', permission: [], root: 'koboldcpp' },
    ],
  }))
  return fake
}

/** What LocalAI's all-in-one image lists. */
const LOCAL_AI = [
  'gpt-4',
  'gpt-4o',
  'text-embedding-ada-002',
  'stablediffusion',
  'tts-1',
  'whisper-1',
]

/** LocalAI: lists everything that is configured, says nothing of memory, and loads on demand. */
export async function fakeLocalAi(
  t: Teardown,
  models: readonly (string | FakeModel)[] = LOCAL_AI,
  options: FakeOptions = {},
): Promise<FakeUpstream> {
  const all = named(models)
  const fake = await started(t, all, {
    refusal: (model) => {
      if (model !== null && all.some(({ name }) => name === model)) return null
      const message = `could not load model: model "${model ?? ''}" not found`
      return { status: 404, body: { error: { code: 404, message, type: '' } } }
    },
    ...options,
  })
  tells(fake, '/v1/models', () => ({
    object: 'list',
    data: all.map(({ name }) => ({ id: name, object: 'model' })),
  }))
  fake.handlers.set('/api/ps', (_req, res) => json(res, 404, { error: { code: 404 } }))
  return fake
}
