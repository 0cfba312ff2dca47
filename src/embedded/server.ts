import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Gather } from '../core/gather.ts'
import type { Clock } from '../runtime/clock.ts'
import { answerJob, sendJson } from './answer.ts'
import { whyOf } from './channel.ts'
import { type Engine, Refusal, type Route } from './engine.ts'
import { jobOf } from './request.ts'

/** Largest body of a request, bytes. The context of a small model holds far less text. */
const BODY_BYTES_MAX = 8 * 1024 * 1024

/** Paths that generate. */
const ROUTES: ReadonlyMap<string, Route> = new Map([
  ['/v1/chat/completions', 'chat'],
  ['/v1/completions', 'completions'],
])

export interface ServerOptions {
  readonly engine: Engine
  readonly clock: Clock
  /** Gets what went wrong inside, one line each; never a prompt. */
  readonly log: (line: string) => void
}

/**
 * A small OpenAI-compatible server in front of the engine, not yet listening. It is meant for the
 * gate on the same machine: no key, no CORS. JSON only, so no web page can make it generate
 * without a preflight request, which it refuses.
 */
export function createEmbeddedServer(options: ServerOptions): Server {
  const limits = {
    // Idle connections outlive those of the gate's pools, which close at 4 s.
    keepAliveTimeout: 30_000,
    headersTimeout: 10_000,
    requestTimeout: 60_000,
    maxHeaderSize: 16 * 1024,
  }
  return createServer(limits, (request, response) => {
    response.setHeader('x-gengate-embedded', options.engine.kind)
    serve(options, request, response).catch((error: unknown) => {
      if (error instanceof Refusal) return refuse(response, error)
      options.log(`request failed: ${whyOf(error)}`)
      if (response.headersSent) response.destroy()
      else
        refuse(response, new Refusal('internal_error', 'The embedded engine failed. See its log.'))
    })
  })
}

async function serve(
  options: ServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/'
  const route = ROUTES.get(path)
  if (route !== undefined) {
    needMethod(request, response, ['POST'])
    return generate(options, route, { request, response })
  }
  if (path === '/v1/embeddings') {
    throw new Refusal('not_supported', 'The embedded engine computes no embeddings.')
  }
  const body = readOnlyBody(options.engine, path)
  if (body === null) throw new Refusal('not_found', 'There is no such route here.')
  needMethod(request, response, ['GET', 'HEAD'])
  sendJson(response, 200, body)
}

function readOnlyBody(engine: Engine, path: string): object | null {
  const model = { id: engine.modelId, object: 'model', created: 0, owned_by: 'embedded' }
  if (path === '/health') return { status: 'ok', model: engine.modelId, ...engine.load() }
  if (path === '/v1/models') {
    return { object: 'list', data: [{ ...model, max_model_len: engine.contextTokens }] }
  }
  return path === `/v1/models/${encodeURIComponent(engine.modelId)}` ? model : null
}

async function generate(
  { engine, clock }: ServerOptions,
  route: Route,
  { request, response }: { request: IncomingMessage; response: ServerResponse },
): Promise<void> {
  const type = request.headers['content-type'] ?? ''
  if (!/^application\/json\s*(?:;|$)/i.test(type)) {
    throw new Refusal('unsupported_media_type', 'The body must be application/json.')
  }
  const bytes = await readBody(request)
  if (bytes === 'gone') return
  if (bytes === 'too_large') {
    response.setHeader('connection', 'close')
    // The rest is read and dropped: a client that is still sending would miss the answer.
    request.resume()
    throw new Refusal('request_too_large', `The body is larger than ${BODY_BYTES_MAX} bytes.`)
  }
  const job = jobOf(route, parseJson(bytes), engine.modelId)
  await answerJob({ engine, clock, job }, response)
}

async function readBody(request: IncomingMessage): Promise<Buffer | 'too_large' | 'gone'> {
  const body = new Gather()
  try {
    // Left early, the loop would destroy the socket, and the answer with it.
    const stream: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false })
    for await (const chunk of stream) {
      if (body.length + chunk.length > BODY_BYTES_MAX) return 'too_large'
      body.push(chunk)
    }
    return body.take()
  } catch {
    // The client left while it sent; there is nobody to answer.
    return 'gone'
  }
}

/** The value of bytes that are JSON in UTF-8. */
function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new Refusal('invalid_json', 'The body is not valid JSON.')
  }
}

function needMethod(
  { method = '' }: IncomingMessage,
  response: ServerResponse,
  methods: readonly [string, ...string[]],
): void {
  if (methods.includes(method)) return
  response.setHeader('allow', methods[0])
  throw new Refusal('method_not_allowed', `Use ${methods[0]} here.`)
}

function refuse(response: ServerResponse, { status, body }: Refusal): void {
  if (status === 503) response.setHeader('retry-after', '1')
  sendJson(response, status, body)
}
