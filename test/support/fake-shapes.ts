/** The routes that the fake knows. The last line: JSON in, JSON out, no streams. */
export type Route = 'chat' | 'completions' | 'embeddings' | TypedRoute | JsonRoute
export type TypedRoute = 'responses' | 'messages'
export type JsonRoute =
  | 'count_tokens'
  | 'rerank'
  | 'score'
  | 'classify'
  | 'pooling'
  | 'tokenize'
  | 'detokenize'

/** By path, as vLLM has them. */
export const ROUTES: Readonly<Record<string, Route>> = {
  '/v1/chat/completions': 'chat',
  '/v1/completions': 'completions',
  '/v1/embeddings': 'embeddings',
  '/v1/responses': 'responses',
  '/v1/messages': 'messages',
  '/v1/messages/count_tokens': 'count_tokens',
  '/v1/rerank': 'rerank',
  '/v2/rerank': 'rerank',
  '/rerank': 'rerank',
  '/v1/score': 'score',
  '/score': 'score',
  '/classify': 'classify',
  '/pooling': 'pooling',
  '/tokenize': 'tokenize',
  '/detokenize': 'detokenize',
}

/** What an answer is about. */
export interface About {
  readonly id: string
  readonly model: string
}

/** One typed stream, in order. Everything is text for the wire. */
export interface TypedShape {
  /** What a frozen engine sends, too: nothing in it is content. */
  open(about: About): string
  /** One event that is no content and may come at any time; empty: there is none. */
  idle(): string
  /** What comes once, right before the first token. */
  begin(): string
  token(text: string): string
  end(about: About, how: { readonly reason: string; readonly text: string }): string
  /** The engine died. */
  failed(about: About): string
  unary(about: About, how: { readonly reason: string; readonly text: string }): object
}

/** The text of the n-th token: `tok0 `, `tok1 `, … */
export function tokenText(index: number): string {
  return `tok${index} `
}

/** A fresh stream: the events of the Responses API are counted. */
export function typedShape(route: TypedRoute): TypedShape {
  return route === 'responses' ? responsesShape() : MESSAGES
}

/** vLLM's members in vLLM's order; those of this API that nobody reads are left out. */
function response({ id, model }: About, status: string, text: string | null): object {
  return {
    id,
    created_at: 1,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    error: status === 'failed' ? { code: 'server_error', message: DEAD } : null,
    metadata: null,
    model,
    object: 'response',
    output: text === null ? [] : [item('completed', [part(text)])],
    status,
    usage:
      text === null || status === 'failed'
        ? null
        : { input_tokens: 5, output_tokens: 3, total_tokens: 8 },
  }
}

const DEAD = 'EngineCore encountered an issue.'

function item(status: string, content: readonly object[]): object {
  return { id: 'msg_fake', content, role: 'assistant', status, type: 'message' }
}

function part(text: string): object {
  return { annotations: [], text, type: 'output_text' }
}

const STATUS: Readonly<Record<string, string>> = {
  stop: 'completed',
  length: 'incomplete',
  abort: 'cancelled',
  error: 'failed',
}

function responsesShape(): TypedShape {
  let number = 0
  const event = (type: string, more: object): string =>
    named(type, { ...more, sequence_number: number++, type })
  const at = { content_index: 0, item_id: 'msg_fake', output_index: 0 }
  return {
    open: (about) =>
      event('response.created', { response: response(about, 'in_progress', null) }) +
      event('response.in_progress', { response: response(about, 'in_progress', null) }),
    // vLLM's keep-alive comments are for chat and completions only.
    idle: () => '',
    begin: () =>
      event('response.output_item.added', { item: item('in_progress', []), output_index: 0 }) +
      event('response.content_part.added', { ...at, part: part('') }),
    token: (text) => event('response.output_text.delta', { ...at, delta: text, logprobs: [] }),
    end: (about, { reason, text }) =>
      event('response.output_text.done', { ...at, text }) +
      event('response.content_part.done', { ...at, part: part(text) }) +
      event('response.output_item.done', {
        item: item('completed', [part(text)]),
        output_index: 0,
      }) +
      event('response.completed', { response: response(about, STATUS[reason] ?? reason, text) }),
    failed: (about) => event('response.failed', { response: response(about, 'failed', null) }),
    unary: (about, { reason, text }) => response(about, STATUS[reason] ?? reason, text),
  }
}

/** vLLM has no word for `abort`: it sends null. */
const STOP: Readonly<Record<string, string | null>> = {
  stop: 'end_turn',
  length: 'max_tokens',
  abort: null,
}

const MESSAGES: TypedShape = {
  open: ({ id, model }) =>
    named('message_start', {
      type: 'message_start',
      message: {
        id,
        type: 'message',
        role: 'assistant',
        content: [],
        model,
        stop_reason: null,
        usage: { input_tokens: 5, output_tokens: 0 },
      },
    }) + named('ping', { type: 'ping' }),
  idle: () => named('ping', { type: 'ping' }),
  begin: () =>
    named('content_block_start', {
      type: 'content_block_start',
      index: 0,
      content_block: { type: 'text', text: '' },
    }),
  token: (text) =>
    named('content_block_delta', {
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'text_delta', text },
    }),
  end: (_about, { reason }) =>
    named('content_block_stop', { type: 'content_block_stop', index: 0 }) +
    named('message_delta', {
      type: 'message_delta',
      delta: { stop_reason: stopOf(reason) },
      usage: { input_tokens: 5, output_tokens: 3 },
    }) +
    named('message_stop', { type: 'message_stop' }),
  failed: () =>
    named('error', { type: 'error', error: { type: 'internal_error', message: DEAD } }) +
    named('message_stop', { type: 'message_stop' }),
  unary: ({ id, model }, { reason, text }) => ({
    id,
    type: 'message',
    role: 'assistant',
    content: [{ type: 'text', text }],
    model,
    stop_reason: stopOf(reason),
    usage: { input_tokens: 5, output_tokens: 3 },
  }),
}

function stopOf(reason: string): string | null {
  return Object.hasOwn(STOP, reason) ? (STOP[reason] ?? null) : reason
}

function named(type: string, data: object): string {
  return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`
}

/** Whole answers of the routes that do not generate. */
export function jsonAnswer(route: JsonRoute, { id, model }: About): object {
  const usage = { prompt_tokens: 2, total_tokens: 2, completion_tokens: 0 }
  const list = (data: object): object => {
    return { id, object: 'list', created: 1, model, data: [{ index: 0, ...data }], usage }
  }
  switch (route) {
    case 'count_tokens':
      return { input_tokens: 21 }
    case 'rerank':
      return {
        id,
        model,
        usage: { total_tokens: 2 },
        results: [{ index: 0, document: { text: 'd' }, relevance_score: 0.9 }],
      }
    case 'score':
      return list({ object: 'score', score: 0.5 })
    case 'classify':
      return list({ label: 'good', probs: [0.75, 0.25], num_classes: 2 })
    case 'pooling':
      return list({ object: 'pooling', data: [0.5, -0.25] })
    case 'tokenize':
      return { count: 2, max_model_len: 2048, tokens: [76, 77], token_strs: null }
    case 'detokenize':
      return { prompt: 'hi' }
  }
}
