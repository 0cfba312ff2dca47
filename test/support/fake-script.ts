import { setTimeout as pause } from 'node:timers/promises'
import { type Cut, DEAD, type FakeAnswer, type Route } from './fake-answer.ts'

/** How generations go. Set by the sentences of FakeUpstream; holds until the next sentence. */
export type Script =
  | { readonly kind: 'ok' | 'headers_only' | 'one_token' }
  | {
      readonly kind: 'status'
      readonly status: number
      readonly body: string
      readonly headers: Record<string, string>
    }
  | { readonly kind: 'cut'; readonly after: number; readonly how: Cut }
  | { readonly kind: 'finish'; readonly reason: string | null }
  | { readonly kind: 'error_frame'; readonly after: number }

export const DEFAULTS = {
  models: ['fake'] as readonly string[],
  /** Generated tokens, unless the request asks for fewer. */
  tokens: 3,
  gapMs: 0,
  ttftMs: 0,
  /** Prefill: added to `ttftMs` per byte of the request. */
  msPerByte: 0,
  /** Requests that generate at once; the others queue without a byte and leave with their client. */
  slots: Infinity,
  /** Unknown model names are 404, in vLLM's words. */
  strict: false,
  /** `stream: true` is answered by one JSON body, as the PyPI vllm-metal does. */
  ignoresStream: false,
  /** Other keys are answered 401. */
  apiKey: null as string | null,
  /** Routes that do not exist (404, FastAPI's words). */
  missing: [] as readonly Route[],
  /** Models in memory; not null makes it an Ollama: `/api/ps`, and requests load what is not. */
  loaded: null as readonly string[] | null,
  loadMs: 0,
  /** Models in memory at most: a load beyond that ends the oldest. */
  memory: Infinity,
  /** Answers a generation for this model at once, before it loads anything; null: it is admitted. */
  refusal: (_model: string | null): Refusal | null => null,
  /** Begins the ids of answers, so that they tell who made them. */
  idPrefix: 'gen-fake',
  /** Between two comments of `headersOnly`. */
  commentMs: 50,
}

/** An answer that is no generation. */
export interface Refusal {
  readonly status: number
  readonly body: unknown
}

/** What a performance depends on besides the script. */
export interface Stage {
  readonly script: Script
  readonly options: typeof DEFAULTS
  /** Resolves at once, or when the thaw comes; rejects when the client leaves first. */
  readonly warm: (signal: AbortSignal) => Promise<void>
  readonly isFrozen: () => boolean
}

/** Time for written bytes to be read at the other end of the loopback. */
const ARRIVES_MS = 20

/** Plays one generation to its end, whatever that is. Rejects when the client leaves. */
export async function perform(answer: FakeAnswer, stage: Stage): Promise<void> {
  const { script } = stage
  if (script.kind === 'status') return answer.json(script.status, script.body, script.headers)
  if (script.kind === 'cut' && script.after < 0) return answer.cut(script.how)
  await (answer.wish.stream ? stream(answer, stage) : unary(answer, stage))
}

async function stream(answer: FakeAnswer, stage: Stage): Promise<void> {
  const { script, options } = stage
  const { signal } = answer
  const total = tokensOf(answer, stage)
  const early = script.kind === 'headers_only' || script.kind === 'one_token'
  if (!early) await stage.warm(signal)
  answer.head(script.kind === 'cut' && script.how === 'eof-framed' ? 'eof' : 'chunked')
  answer.role()
  while (script.kind === 'headers_only' && stage.isFrozen()) {
    answer.comment()
    await pause(options.commentMs, null, { signal })
  }
  for (let index = 0; index < total; index++) {
    if (script.kind === 'cut' && index === script.after) break
    if (script.kind === 'error_frame' && index === script.after) break
    if (index > 0) await pause(options.gapMs, null, { signal })
    if (script.kind !== 'one_token' || index > 0) await stage.warm(signal)
    answer.token(index)
  }
  if (script.kind === 'cut') return cut(answer, script.how)
  if (script.kind === 'error_frame') return answer.failed()
  await stage.warm(signal)
  answer.end(reasonOf(script), total)
}

async function unary(answer: FakeAnswer, stage: Stage): Promise<void> {
  const { script, options } = stage
  const { signal } = answer
  const total = tokensOf(answer, stage)
  const body = answer.unary(reasonOf(script), total)
  if (script.kind === 'headers_only') answer.head()
  await stage.warm(signal)
  if (script.kind === 'headers_only') return answer.finish(body)
  if (script.kind === 'error_frame') return answer.json(500, JSON.stringify(DEAD))
  await pause(options.gapMs * Math.max(0, total - 1), null, { signal })
  await stage.warm(signal)
  if (script.kind !== 'cut') return answer.json(200, body)
  const framing = {
    reset: body.length,
    fin: body.length,
    'chunked-end': 'chunked',
    'eof-framed': 'eof',
  } as const
  answer.head(framing[script.how])
  answer.write(body.slice(0, body.length / 2))
  await cut(answer, script.how)
}

/** What was written should have arrived: a reset takes back what the client has not read. */
async function cut(answer: FakeAnswer, how: Cut): Promise<void> {
  await pause(ARRIVES_MS, null, { signal: answer.signal })
  answer.cut(how)
}

function tokensOf(answer: FakeAnswer, { options }: Stage): number {
  return Math.min(options.tokens, answer.wish.maxTokens ?? Infinity)
}

function reasonOf(script: Script): string | null {
  return script.kind === 'finish' ? script.reason : 'stop'
}
