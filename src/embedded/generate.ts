import type {
  ChatHistoryItem,
  ChatWrapper,
  LlamaContextSequence,
  LlamaModel,
  Token,
} from 'node-llama-cpp'
import type * as LlamaCpp from 'node-llama-cpp'
import type { Clock } from '../runtime/clock.ts'
import { type Generated, type Job, type Piece, Refusal, type Turn } from './engine.ts'

/** A model in memory, with what every generation needs to know of it. */
export interface LoadedModel {
  readonly llamaCpp: typeof LlamaCpp
  readonly model: LlamaModel
  readonly sequences: readonly LlamaContextSequence[]
  /** How a conversation is put before it: by its own chat template; if it has none, as plain text. */
  readonly conversation: (turns: readonly Turn[]) => Ready
  /** Tokens that prompt and answer may take together, per sequence. */
  readonly contextTokens: number
  /** Answer length when the client names none, tokens. */
  readonly answerTokens: number
}

export interface JobRun {
  readonly job: Job
  readonly seed: number
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly onPiece: (piece: Piece) => void
}

/** One of them with its prompt and its limit. */
interface Going extends JobRun {
  readonly tokens: readonly Token[]
  readonly maxTokens: number
}

/** llama.cpp's server defaults for clients that name none (tools/server/README.md). */
const SAMPLING = { temperature: 0.8, topP: 0.95, topK: 40 } as const

/** Prompt tokens evaluated between two looks at the abort signal: as many as take about `aimMs`. */
const PREFILL = { least: 32, most: 512, aimMs: 100 } as const

/** Tokens kept free at the end of the context. The library would otherwise drop the beginning of
 *  the conversation to make room; we refuse or stop instead. */
const MARGIN_TOKENS = 8

type Ending = 'eogToken' | 'stopGenerationTrigger' | 'customStopTrigger' | 'maxTokens' | 'abort'

/** A prompt in the form that the library takes. */
export type Ready =
  | { readonly kind: 'turns'; readonly wrapper: ChatWrapper; readonly history: ChatHistoryItem[] }
  | { readonly kind: 'text'; readonly text: string; readonly stops: readonly string[] }

/**
 * Runs one generation on a sequence that nobody else uses meanwhile. Rejects if llama.cpp fails, or
 * with a `Refusal` of a prompt that is too long.
 */
export async function runJob(
  loaded: LoadedModel,
  sequence: LlamaContextSequence,
  run: JobRun,
): Promise<Generated | null> {
  const { job, signal } = run
  const { prompt } = job
  const ready: Ready =
    prompt.kind === 'turns'
      ? loaded.conversation(prompt.turns)
      : { kind: 'text', text: prompt.text, stops: [] }
  const tokens = promptTokens(loaded.model, ready)
  const room = loaded.contextTokens - tokens.length - MARGIN_TOKENS
  if (room < 1) {
    const message = `The prompt has ${tokens.length} tokens; the context of this model holds ${loaded.contextTokens}.`
    const field = job.route === 'chat' ? 'messages' : 'prompt'
    throw new Refusal('context_length_exceeded', message, field)
  }
  const going = { ...run, tokens, maxTokens: Math.min(job.maxTokens ?? loaded.answerTokens, room) }
  try {
    await prefill(sequence, tokens, run)
    const before = sequence.tokenMeter.getState()
    const ending =
      ready.kind === 'turns'
        ? await answer(loaded, sequence, ready, going)
        : await complete(loaded, sequence, ready, going)
    if (ending === 'abort') return null
    return {
      finishReason: ending === 'maxTokens' ? 'length' : 'stop',
      promptTokens: tokens.length,
      completionTokens: Math.max(1, sequence.tokenMeter.diff(before).usedOutputTokens),
    }
  } catch (error) {
    if (signal.aborted) return null
    throw error
  }
}

/** Evaluates all of the prompt but its last token, so an abort need not wait for a long one. */
async function prefill(
  sequence: LlamaContextSequence,
  tokens: readonly Token[],
  { clock, signal }: JobRun,
): Promise<void> {
  const rest = tokens.slice(0, -1)
  await sequence.adaptStateToTokens(rest, false)
  let size: number = PREFILL.least
  for (let at = sequence.nextTokenIndex; at < rest.length;) {
    signal.throwIfAborted()
    const part = rest.slice(at, at + size)
    const sinceMs = clock.nowMs()
    await sequence.evaluateWithoutGeneratingNewTokens(part)
    at += part.length
    const tookMs = clock.nowMs() - sinceMs
    if (tookMs < PREFILL.aimMs / 2) size = Math.min(size * 2, PREFILL.most)
    if (tookMs > PREFILL.aimMs) size = Math.max(size / 2, PREFILL.least)
  }
  signal.throwIfAborted()
}

async function answer(
  { llamaCpp }: LoadedModel,
  sequence: LlamaContextSequence,
  { wrapper, history }: Extract<Ready, { kind: 'turns' }>,
  run: Going,
): Promise<Ending> {
  using chat = new llamaCpp.LlamaChat({
    contextSequence: sequence,
    chatWrapper: wrapper,
  })
  const { metadata } = await chat.generateResponse(history, {
    ...sampling(run),
    contextShift: { size: MARGIN_TOKENS / 2 },
    onResponseChunk: ({ type, text }) => {
      if (text !== '') run.onPiece({ reasoning: type === 'segment', text })
    },
  })
  return metadata.stopReason === 'functionCalls' ? 'eogToken' : metadata.stopReason
}

async function complete(
  { llamaCpp, model }: LoadedModel,
  sequence: LlamaContextSequence,
  { stops }: Extract<Ready, { kind: 'text' }>,
  run: Going,
): Promise<Ending> {
  using completion = new llamaCpp.LlamaCompletion({ contextSequence: sequence })
  // The library puts the token that begins a text in front by itself.
  const input = run.tokens.slice(run.tokens[0] === model.tokens.bos ? 1 : 0)
  let left = run.maxTokens
  let isFirst = true
  for (let round = 0; ; round++) {
    const { metadata } = await completion.generateCompletionWithMeta([...input], {
      ...sampling({ ...run, seed: run.seed + round, maxTokens: left }),
      customStopTriggers: [...run.job.stop, ...stops],
      contextShiftSize: MARGIN_TOKENS / 2,
      onToken: (tokens) => {
        left -= tokens.length
        const piece = model.detokenize(tokens, false, input)
        // A turn of its own does not begin with the space that a continuation needs.
        const text = isFirst && run.job.route === 'chat' ? piece.trimStart() : piece
        isFirst = false
        input.push(...tokens)
        if (text !== '') run.onPiece({ reasoning: false, text })
      },
    })
    // The token that ended the text was generated too.
    left--
    if (metadata.stopReason !== 'eogToken' || !run.job.ignoreEos) return metadata.stopReason
    if (left < 1) return 'maxTokens'
  }
}

function sampling({ job, seed, signal, maxTokens }: Going): object {
  return {
    signal,
    maxTokens,
    // The sampler takes 32 bits; the same seed of a client must stay the same seed.
    seed: ((seed % 2 ** 32) + 2 ** 32) % 2 ** 32,
    temperature: job.temperature ?? SAMPLING.temperature,
    topP: job.topP ?? SAMPLING.topP,
    topK: SAMPLING.topK,
    // On by default in the library; no OpenAI client asked for it.
    repeatPenalty: false,
    customStopTriggers: job.stop,
  }
}

/** The library would guess a template from the architecture, which a base model does not know. The toy
 *  goes on from the last words only. */
export function conversationOf(
  { resolveChatWrapper }: typeof LlamaCpp,
  model: LlamaModel,
  kind: 'toy' | 'gguf',
): LoadedModel['conversation'] {
  if (kind === 'toy') return (turns) => ({ kind: 'text', text: lastWordsOf(turns), stops: [] })
  if (model.fileInfo.metadata?.tokenizer?.chat_template === undefined) {
    return (turns) => ({ kind: 'text', text: transcriptOf(turns), stops: TRANSCRIPT_STOPS })
  }
  const wrapper = resolveChatWrapper(model)
  return (turns) => ({ kind: 'turns', wrapper, history: turns.map(historyItem) })
}

/** One turn for a chat template. */
function historyItem({ role, text }: Turn): ChatHistoryItem {
  return role === 'assistant' ? { type: 'model', response: [text] } : { type: role, text }
}

/** The whole prompt as the model sees it, its first token included. */
function promptTokens(model: LlamaModel, ready: Ready): Token[] {
  if (ready.kind === 'turns') {
    const chatHistory: ChatHistoryItem[] = [...ready.history]
    if (chatHistory.at(-1)?.type !== 'model') chatHistory.push({ type: 'model', response: [] })
    const { contextText } = ready.wrapper.generateContextState({ chatHistory })
    return contextText.tokenize(model.tokenizer)
  }
  const { bos, shouldPrependBosToken } = model.tokens
  const first = shouldPrependBosToken && bos !== null ? [bos] : []
  return [...first, ...model.tokenize(ready.text)]
}

/** What a conversation without a system turn begins with, for a model that was never taught turns. */
const PREAMBLE =
  'A conversation between a user and a helpful assistant. The assistant answers in one or two plain sentences.'

/** Ends an answer inside a transcript: the model begins to speak for the user. The longer one
 *  first, so the empty line in front goes with it. */
export const TRANSCRIPT_STOPS: readonly string[] = ['\n\nUser:', '\nUser:']

/**
 * A conversation as plain text to be continued, for base models: a GGUF without a chat template
 * knows no turns, and a template of another model makes it echo the question (seen on Gemma 3 270M,
 * base). Pure.
 */
export function transcriptOf(turns: readonly Turn[]): string {
  const system = turns.filter(({ role }) => role === 'system').map(({ text }) => text)
  const said = turns
    .filter(({ role }) => role !== 'system')
    .map(({ role, text }) => `${role === 'user' ? 'User' : 'Assistant'}: ${text.trim()}`)
  const preamble = system.length === 0 ? PREAMBLE : system.join('\n')
  return [preamble, ...said, 'Assistant:'].join('\n\n')
}

/** What the toy continues: the user's last words, without the mark that ends the sentence, which
 *  could be followed by the end of the text at once. Pure. */
export function lastWordsOf(turns: readonly Turn[]): string {
  const last = turns.findLast(({ role }) => role === 'user')?.text ?? ''
  return ` ${last.trim().replace(/[\s.?!]+$/, '')}`
}
