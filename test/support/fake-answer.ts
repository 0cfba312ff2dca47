import type { ServerResponse } from 'node:http'
import {
  jsonAnswer,
  type JsonRoute,
  type Route,
  ROUTES,
  tokenText,
  type TypedRoute,
  type TypedShape,
  typedShape,
} from './fake-shapes.ts'

export { type Route, tokenText } from './fake-shapes.ts'

/** Where a cut answer stops: TCP reset, FIN in mid-chunk, a clean chunked end, or EOF framing. */
export type Cut = 'reset' | 'fin' | 'chunked-end' | 'eof-framed'

/** What a request asks for; null where the body does not say. */
export interface Wish {
  readonly route: Route | null
  readonly model: string | null
  readonly stream: boolean
  readonly maxTokens: number | null
  readonly includeUsage: boolean
}

export function wishOf(url: string, text: string): Wish {
  const route = ROUTES[url] ?? null
  const body = parse(text)
  const model = body['model']
  const options = body['stream_options'] as Record<string, unknown> | null | undefined
  const maxTokens = body['max_completion_tokens'] ?? body['max_output_tokens'] ?? body['max_tokens']
  return {
    route,
    model: typeof model === 'string' && model !== '' ? model : null,
    stream: body['stream'] === true,
    maxTokens: typeof maxTokens === 'number' ? maxTokens : null,
    includeUsage: options?.['include_usage'] === true,
  }
}

function parse(text: string): Record<string, unknown> {
  try {
    return (JSON.parse(text) as Record<string, unknown> | null) ?? {}
  } catch {
    return {}
  }
}

const TYPED: readonly (Route | null)[] = ['responses', 'messages']
const CHOICES: readonly (Route | null)[] = [null, 'chat', 'completions', 'embeddings']

/** Writes one generation in the shapes of vLLM: role delta, content deltas, finish, `[DONE]`. */
export class FakeAnswer {
  readonly wish: Wish
  readonly model: string
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal
  /** Of the answer. */
  readonly id: string
  readonly #res: ServerResponse
  readonly #typed: TypedShape | null
  #text = ''

  constructor(
    res: ServerResponse,
    wish: Wish,
    rest: { model: string; signal: AbortSignal; id: string },
  ) {
    this.#res = res
    this.wish = wish
    this.model = rest.model
    this.signal = rest.signal
    this.id = rest.id
    this.#typed = TYPED.includes(wish.route) ? typedShape(wish.route as TypedRoute) : null
  }

  /** Sends the head of the answer at once, in the framing that the cut to come needs. */
  head(framing: 'chunked' | 'eof' | number = 'chunked'): void {
    const type = this.wish.stream ? 'text/event-stream; charset=utf-8' : 'application/json'
    if (framing === 'eof') this.#res.removeHeader('transfer-encoding')
    const length = typeof framing === 'number' ? { 'content-length': framing } : {}
    this.#res.writeHead(200, { 'content-type': type, ...length })
    this.#res.flushHeaders()
  }

  /** What comes before any token, also from a frozen engine. */
  role(): void {
    if (this.#typed !== null) this.write(this.#typed.open(this))
    if (this.wish.route === 'chat') this.#chunk({ delta: { role: 'assistant', content: '' } })
  }

  token(index: number): void {
    const text = tokenText(index)
    if (this.#typed !== null) {
      this.write((this.#text === '' ? this.#typed.begin() : '') + this.#typed.token(text))
      this.#text += text
      return
    }
    this.#chunk(this.wish.route === 'chat' ? { delta: { content: text } } : { text })
  }

  /** The last chunk, the usage where it was asked for, and `[DONE]`. */
  end(reason: string | null, tokens: number): void {
    if (this.#typed !== null) {
      return this.finish(this.#typed.end(this, { reason: reason ?? '', text: this.#text }))
    }
    const empty = this.wish.route === 'chat' ? { delta: {} } : { text: '' }
    this.#chunk({ ...empty }, reason)
    if (this.wish.includeUsage) this.frame({ ...this.#envelope([]), usage: usageOf(tokens) })
    this.done()
  }

  done(): void {
    this.#res.end('data: [DONE]\n\n')
  }

  frame(value: unknown): void {
    this.#res.write(`data: ${JSON.stringify(value)}\n\n`)
  }

  /** A dying engine: its error, and the usual last event as if all were well. */
  failed(): void {
    if (this.#typed !== null) return this.finish(this.#typed.failed(this))
    this.frame(DEAD)
    this.done()
  }

  /** What flows from a frozen engine: proves nothing. */
  comment(): void {
    if (this.#typed === null) this.#res.write(': keep-alive\n\n')
    else if (this.#typed.idle() !== '') this.#res.write(this.#typed.idle())
  }

  /** The whole unary body. */
  unary(reason: string | null, tokens: number): string {
    if (this.wish.route === 'embeddings') {
      const data = [{ object: 'embedding', index: 0, embedding: [0.5, -0.25] }]
      const usage = { prompt_tokens: 2, total_tokens: 2 }
      return JSON.stringify({ object: 'list', data, model: this.model, usage })
    }
    if (!CHOICES.includes(this.wish.route)) {
      if (this.#typed === null)
        return JSON.stringify(jsonAnswer(this.wish.route as JsonRoute, this))
      const text = textOf(tokens)
      return JSON.stringify(this.#typed.unary(this, { reason: reason ?? '', text }))
    }
    const content = textOf(tokens)
    const choice =
      this.wish.route === 'chat' ? { message: { role: 'assistant', content } } : { text: content }
    const choices = [{ index: 0, ...choice, finish_reason: reason }]
    return JSON.stringify({ ...this.#envelope(choices), usage: usageOf(tokens) })
  }

  json(status: number, body: string, headers: Record<string, string> = {}): void {
    this.#res.writeHead(status, { 'content-type': 'application/json', ...headers })
    this.#res.end(body)
  }

  /** Part of a body, as it is. */
  write(text: string): void {
    this.#res.write(text)
  }

  finish(text: string): void {
    this.#res.end(text)
  }

  cut(how: Cut): void {
    const { socket } = this.#res
    if (how === 'reset') socket?.resetAndDestroy()
    else if (how === 'fin') socket?.end()
    else this.#res.end()
  }

  #chunk(part: object, finish: string | null = null): void {
    this.frame(this.#envelope([{ index: 0, ...part, logprobs: null, finish_reason: finish }]))
  }

  #envelope(choices: readonly object[]): object {
    const chat = this.wish.stream ? 'chat.completion.chunk' : 'chat.completion'
    const object = this.wish.route === 'chat' ? chat : 'text_completion'
    return { id: this.id, object, created: 1, model: this.model, choices }
  }
}

/** What vLLM says when its core is gone. */
export const DEAD = { error: { message: 'EngineCore encountered an issue.', code: 500 } }

function textOf(tokens: number): string {
  return Array.from({ length: tokens }, (_, index) => tokenText(index)).join('')
}

function usageOf(tokens: number): object {
  return { prompt_tokens: 5, completion_tokens: tokens, total_tokens: 5 + tokens }
}
