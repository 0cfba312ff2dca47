import { stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename } from 'node:path'
import type * as LlamaCpp from 'node-llama-cpp'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import { TOY_MODEL_ID } from './bigram.ts'
import { type Engine, Refusal } from './engine.ts'
import { Failure, whyOf } from './channel.ts'
import { conversationOf, type LoadedModel, runJob } from './generate.ts'

/** Generations at the same time; llama.cpp evaluates them in one batch. Each holds a context in
 *  memory, which a large model makes dear. */
const SEQUENCES = { small: 4, large: 2 } as const

/** From this file size on a model is large. */
const LARGE_BYTES_MIN = 1e9

/** Requests that may wait for one of them. */
const WAITING_MAX = 32

/** Context per sequence of a real model at most, tokens; less if the memory is short. Its cache is
 *  allocated for every sequence at start. */
const CONTEXT_TOKENS_MAX = 4096

/** Below this file size (about 50 M parameters) one thread is fastest: with more, they spend their
 *  time waiting for each other (measured on the toy: 1,150 tokens/s with one, 16 to 200 with two). */
const SINGLE_THREAD_BYTES_MAX = 100e6

/** Answer length when the client names none, tokens. */
const ANSWER_TOKENS = { toy: 128, gguf: 1024 } as const

/** Node's code for a package that is not there. */
const MODULE_NOT_FOUND = 'ERR_MODULE_NOT_FOUND'

export interface LoadOptions {
  readonly kind: Engine['kind']
  readonly modelPath: string
  /** What to import; `node-llama-cpp` but in tests. */
  readonly moduleName: string
  readonly clock: Clock
  readonly random: Random
  /** Gets errors of llama.cpp. */
  readonly log: (line: string) => void
}

/**
 * Loads the model into llama.cpp. Nothing is built or downloaded. Rejects with a `Failure` that
 * says what the operator can do: the package or its binary is absent, or the model cannot be used.
 */
export async function loadEngine(options: LoadOptions): Promise<Engine> {
  const { kind, modelPath, clock, random } = options
  const bytes = await fileSize(modelPath)
  const llama = await importLlama(options.moduleName)
  const model = await loadModel(llama, options, bytes)
  const slots = new Slots(model.sequences, WAITING_MAX)
  const modelId = kind === 'toy' ? TOY_MODEL_ID : basename(modelPath).replace(/\.gguf$/i, '')
  return {
    kind,
    modelId,
    contextTokens: model.contextTokens,
    load: () => ({ running: slots.held, waiting: slots.waiting }),
    close: () => model.model.llama.dispose(),
    async generate(job, signal, onPiece) {
      const slot = await slots.acquire(signal)
      if (slot === 'aborted') return null
      if (slot === 'full') {
        const message = `${WAITING_MAX} requests are waiting already. Try again in a moment.`
        throw new Refusal('queue_full', message)
      }
      const seed = job.seed ?? Math.floor(random() * 2 ** 32)
      try {
        return await runJob(model, slot.item, { job, seed, clock, signal, onPiece })
      } finally {
        slots.release(slot.item)
      }
    },
  }
}

async function fileSize(path: string): Promise<number> {
  try {
    const file = await stat(path)
    if (file.isFile()) return file.size
    throw new Failure('bad_model', `${path} is not a file. GENGATE_EMBEDDED takes a GGUF's path.`)
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure(
      'bad_model',
      `The model cannot be read: ${whyOf(error)}. Check GENGATE_EMBEDDED.`,
    )
  }
}

async function importLlama(moduleName: string): Promise<typeof LlamaCpp> {
  try {
    // The only import of this optional package: lazily, since it takes half a second.
    const llamaCpp: typeof LlamaCpp = await import(moduleName)
    return llamaCpp
  } catch (error) {
    const why = whyOf(error)
    const isAbsent = error instanceof Error && 'code' in error && error.code === MODULE_NOT_FOUND
    // Present, but one of its own files is missing, or it refuses this Node: that is another story.
    const code = isAbsent && why.includes(`'${moduleName}'`) ? 'package_absent' : 'no_binary'
    throw new Failure(code, why)
  }
}

async function loadModel(
  llamaCpp: typeof LlamaCpp,
  { kind, modelPath, log }: LoadOptions,
  bytes: number,
): Promise<LoadedModel> {
  const small = bytes < SINGLE_THREAD_BYTES_MAX
  const llama = await llamaCpp
    .getLlama({
      build: 'never',
      skipDownload: true,
      progressLogs: false,
      // A tiny model gains nothing from a GPU and would take memory of the real engine there.
      gpu: small ? false : 'auto',
      maxThreads: small ? 1 : availableParallelism(),
      logLevel: llamaCpp.LlamaLogLevel.error,
      logger: (_level, message) => log(message.trim()),
    })
    .catch((error: unknown) => {
      throw new Failure('no_binary', whyOf(error))
    })
  try {
    const model = await llama.loadModel({ modelPath })
    const contextSize = {
      max: Math.min(model.trainContextSize, kind === 'toy' ? Infinity : CONTEXT_TOKENS_MAX),
    }
    const count = SEQUENCES[bytes < LARGE_BYTES_MIN ? 'small' : 'large']
    const context = await model.createContext({ contextSize, sequences: count })
    const sequences = Array.from({ length: count }, () => context.getSequence())
    return {
      llamaCpp,
      model,
      sequences,
      conversation: conversationOf(llamaCpp, model, kind),
      contextTokens: context.contextSize,
      answerTokens: ANSWER_TOKENS[kind],
    }
  } catch (error) {
    throw new Failure('bad_model', `llama.cpp cannot load ${modelPath}: ${whyOf(error)}`)
  }
}

/**
 * A fixed set of things that one user at a time may hold, and a bounded queue for them, first come
 * first served. Every acquired item must be released once.
 */
export class Slots<T> {
  readonly #free: T[]
  readonly #waitingMax: number
  readonly #waiting = new Set<(item: T) => void>()
  readonly #total: number

  constructor(items: readonly T[], waitingMax: number) {
    this.#free = [...items]
    this.#total = items.length
    this.#waitingMax = waitingMax
  }

  get held(): number {
    return this.#total - this.#free.length
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** An item, `full` if too many wait already, or `aborted` if the signal aborted first. */
  acquire(signal: AbortSignal): Promise<{ readonly item: T } | 'full' | 'aborted'> {
    if (signal.aborted) return Promise.resolve('aborted')
    // The most recently used one first: what it holds in memory is the warmest.
    const free = this.#free.pop()
    if (free !== undefined) return Promise.resolve({ item: free })
    if (this.#waiting.size >= this.#waitingMax) return Promise.resolve('full')
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#waiting.delete(give)
        resolve('aborted')
      }
      const give = (item: T): void => {
        signal.removeEventListener('abort', leave)
        resolve({ item })
      }
      this.#waiting.add(give)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  release(item: T): void {
    const [give] = this.#waiting
    if (give === undefined) return void this.#free.push(item)
    this.#waiting.delete(give)
    give(item)
  }
}
