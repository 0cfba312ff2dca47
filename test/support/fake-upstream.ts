import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { type Cut, FakeAnswer, type Wish, wishOf } from './fake-answer.ts'
import { DEFAULTS, perform, type Script } from './fake-script.ts'

/** One request as it arrived, and how it ended. */
export interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  body: string
  /** `finished`: answered to the end. `cut`: the client left, or the script cut. Null: open. */
  ended: { readonly how: 'finished' | 'cut'; readonly afterMs: number } | null
}

/** Answers in place of the fake; the body is its own to read, or not. */
export type Handler = (req: IncomingMessage, res: ServerResponse) => unknown

export type FakeOptions = Partial<typeof DEFAULTS>

/** A real HTTP server on 127.0.0.1 that fails on request. `t` closes it. */
export async function fakeUpstream(t: Teardown, options: FakeOptions = {}): Promise<FakeUpstream> {
  const fake = new FakeUpstream(options)
  t.teardown(() => fake.close())
  await fake.listen()
  return fake
}

interface Teardown {
  teardown: (end: () => Promise<void>) => unknown
}

/** What stops generations; `model`: only those of this one. */
interface Ice {
  readonly melted: Promise<void>
  readonly melt: () => void
  readonly model: string | null
}

export class FakeUpstream {
  /** May be changed at any time. */
  readonly options: typeof DEFAULTS
  readonly seen: Seen[] = []
  /** Answers of GETs, by path, in place of the usual ones. */
  readonly raw = new Map<string, { readonly status: number; readonly body: string }>()
  /** What answers other routes, by path without query, whatever the method. */
  readonly handlers = new Map<string, Handler>()
  /** Responses that were made and are kept, by id. */
  readonly kept = new Map<string, string>()
  /** Loads that requests caused. */
  coldLoads = 0
  /** The model that loads now. */
  loading: string | null = null
  /** Generations that hold a slot. */
  running = 0
  port = 0
  #script: Script = { kind: 'ok' }
  #ice: Ice | null = null
  #queue: (() => void)[] = []
  readonly #sockets = new Set<Socket>()
  readonly #server = createServer((req, res) => void this.#serve(req, res))

  constructor(options: FakeOptions = {}) {
    this.options = { ...DEFAULTS, ...options }
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** The generation requests among `seen`. */
  get generations(): Seen[] {
    return this.seen.filter((one) => one.method === 'POST')
  }

  /** Works again, whatever was said before. */
  ok(): void {
    this.#script = { kind: 'ok' }
    this.thaw()
  }

  /** Lists and is healthy, but every generation stops where it is: new ones before any byte. With
   *  a name only those of that model do. */
  freeze(model: string | null = null): void {
    if (this.#ice !== null) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#ice = { melted: promise, melt: resolve, model }
  }

  /** Everything that stopped goes on. */
  thaw(): void {
    this.#ice?.melt()
    this.#ice = null
  }

  /** Streams get headers, a role and comments for ever; unary requests get headers. */
  headersOnly(): void {
    this.#script = { kind: 'headers_only' }
    this.freeze()
  }

  /** Every stream gets one token and then nothing; unary requests get nothing at all. */
  oneTokenThenFreeze(): void {
    this.#script = { kind: 'one_token' }
    this.freeze()
  }

  /** Answers every generation with this. */
  status(status: number, body: unknown = 'scripted', headers: Record<string, string> = {}): void {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    this.#script = { kind: 'status', status, body: text, headers }
  }

  /** 200 and not one byte of body. */
  empty(): void {
    this.status(200, '')
  }

  /** 200 with an error in it, in the flat shape of SGLang. */
  errorObject(): void {
    this.status(200, { object: 'error', message: 'scripted', type: 'InternalError', code: 500 })
  }

  /** Cuts after `after` tokens (unary: inside the body); below zero, before the first byte. */
  cutAfter(after: number, how: Cut): void {
    this.#script = { kind: 'cut', after, how }
  }

  /** Ends with this reason (`abort`, `error`), or with none, and with `[DONE]` as if all were well. */
  finishWith(reason: string | null): void {
    this.#script = { kind: 'finish', reason }
  }

  /** A dying vLLM: `after` tokens, an error frame and `[DONE]`; 500 to a unary request. */
  errorFrame(after = 1): void {
    this.#script = { kind: 'error_frame', after }
  }

  /** Stops listening and drops every connection: new ones are refused. */
  async refuse(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.resetAndDestroy()
    await closed
  }

  /** Listens; after `refuse`, on the same port again. */
  async listen(): Promise<void> {
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    if (this.#server.listening) await this.refuse()
    this.thaw()
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = req
    const seen: Seen = { method, url, headers, body: '', ended: null }
    this.seen.push(seen)
    const startedAt = performance.now()
    const gone = new AbortController()
    res.on('close', () => {
      const how = res.writableFinished ? 'finished' : 'cut'
      seen.ended = { how, afterMs: performance.now() - startedAt }
      gone.abort()
    })
    const handler = this.handlers.get(url.split('?')[0] ?? '')
    if (handler !== undefined) return void handler(req, res)
    try {
      for await (const chunk of req) seen.body += String(chunk)
      const wish = wishOf(url, seen.body)
      const model = wish.model ?? this.options.models[0] ?? 'fake'
      const stream = wish.stream && !this.options.ignoresStream
      const id = `${this.options.idPrefix}-${this.seen.length}`
      const answer = new FakeAnswer(res, { ...wish, stream }, { model, signal: gone.signal, id })
      if (!this.#refuses(seen, wish, answer)) await this.#takeSlot(answer, seen.body.length)
    } catch {
      // The client left or the script cut; `ended` tells.
      res.destroy()
    }
  }

  /** Answers whatever is no generation, and generations that are not admitted. */
  #refuses({ method, url, headers }: Seen, { route, model }: Wish, answer: FakeAnswer): boolean {
    const { apiKey, loaded, missing, models, refusal, strict } = this.options
    const raw = method === 'GET' ? this.raw.get(url) : undefined
    const refuse = (status: number, body: unknown): true => {
      answer.json(status, typeof body === 'string' ? body : JSON.stringify(body))
      return true
    }
    if (raw !== undefined) return refuse(raw.status, raw.body)
    if (url === '/health') return refuse(200, { status: 'ok' })
    if (apiKey !== null && headers.authorization !== `Bearer ${apiKey}`) {
      return refuse(401, { error: 'Unauthorized' })
    }
    if (method === 'GET' && url === '/v1/models') {
      return refuse(200, { object: 'list', data: models.map((id) => ({ id, object: 'model' })) })
    }
    if (method === 'GET' && url === '/api/ps' && loaded !== null) {
      return refuse(200, { models: loaded.map((name) => ({ name, model: name })) })
    }
    const asked = /^\/v1\/responses\/([^/?]+)/.exec(url)?.[1]
    if (asked !== undefined) {
      const kept = this.kept.get(asked)
      if (kept !== undefined) return refuse(200, kept)
      const message = `Response with id '${asked}' not found.`
      return refuse(404, { error: { message, type: 'invalid_request_error', code: 404 } })
    }
    if (method !== 'POST' || route === null || missing.includes(route)) {
      return refuse(404, { detail: 'Not Found' })
    }
    const refused = refusal(model)
    if (refused !== null) return refuse(refused.status, refused.body)
    if (strict && model !== null && !models.includes(model)) {
      const message = `The model \`${model}\` does not exist.`
      return refuse(404, { error: { message, type: 'NotFoundError', param: 'model', code: 404 } })
    }
    return false
  }

  async #takeSlot(answer: FakeAnswer, bytes: number): Promise<void> {
    const { signal } = answer
    while (this.running >= this.options.slots) {
      await new Promise<void>((resolve) => {
        this.#queue.push(resolve)
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
      signal.throwIfAborted()
    }
    this.running++
    const { wish, id } = answer
    if (wish.route === 'responses') this.kept.set(id, answer.unary('stop', this.options.tokens))
    try {
      await this.#load(answer)
      await pause(this.options.ttftMs + bytes * this.options.msPerByte, null, { signal })
      await perform(answer, {
        script: this.#script,
        options: this.options,
        warm: (left) => this.#warm(left, answer.model),
        isFrozen: () => this.#holds(answer.model),
      })
    } finally {
      this.running--
      for (const wake of this.#queue.splice(0)) wake()
    }
  }

  /** An Ollama loads what it does not have in memory, and gives up when the client leaves. */
  async #load({ model: asked, signal }: FakeAnswer): Promise<void> {
    const model = this.#listed(asked)
    const { loaded, loadMs, memory } = this.options
    if (loaded === null || loaded.includes(model)) return
    this.coldLoads++
    this.loading = model
    // The one that makes room ends first: nothing is in memory while the next one loads.
    if (loaded.length >= memory) this.options.loaded = loaded.slice(loaded.length - memory + 1)
    try {
      await pause(loadMs, null, { signal })
      this.options.loaded = [...(this.options.loaded ?? []), model]
    } finally {
      this.loading = null
    }
  }

  /** Ollama's bare names. */
  #listed(model: string): string {
    return this.options.models.find((name) => name === `${model}:latest`) ?? model
  }

  #holds(model: string): boolean {
    const only = this.#ice?.model ?? null
    return this.#ice !== null && (only === null || only === this.#listed(model))
  }

  async #warm(signal: AbortSignal, model: string): Promise<void> {
    while (this.#ice !== null && this.#holds(model)) {
      const left = new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
      await Promise.race([this.#ice.melted, left])
      signal.throwIfAborted()
    }
  }
}
