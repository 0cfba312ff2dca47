import { fileURLToPath } from 'node:url'
import { type Child, type ChildEnd, startChild } from '../process/child.ts'
import { afterEnd, type History, NO_HISTORY, type RestartPolicy } from '../process/restarts.ts'
import type { Clock } from '../runtime/clock.ts'
import {
  type ChildMessage,
  type ChildOptions,
  failureOfExitCode,
  failureText,
  readMessage,
} from './channel.ts'
import { defaultCacheDir } from './toy.ts'

/** The child's entry beside this file: `main.ts` from the sources, `main.js` from `dist`. */
const ENTRY = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? 'main.ts' : 'main.js', import.meta.url),
)

/** The child exits at once when told to; one that does not within this time is killed, ms. */
const STOP_MS = 2_000

/** Five starts in a row that never came to serve: the model crashes llama.cpp, and loading it for ever
 *  would only heat the machine. */
export const EMBEDDED_RESTARTS: RestartPolicy = {
  backoff: { first: 500, max: 30_000 },
  jitter: 0,
  wellAfterMs: 60_000,
  hourlyMax: Infinity,
  failedStartsMax: 5,
}

export interface EmbeddedOptions {
  readonly clock: Clock
  /** Path of a GGUF; null: the toy. */
  readonly modelPath: string | null
  /** It serves, at first and after every restart. `url` has no `/v1` and is the same as before
   *  unless the port was taken meanwhile. */
  readonly onReady: (url: string, modelId: string) => void
  /** One line for the operator. */
  readonly onMessage: (text: string) => void
  /** Where the toy is kept; by default as the XDG base directory specification says. */
  readonly cacheDir?: string
  /** Port on 127.0.0.1 for the first start; any by default. */
  readonly port?: number
  /** What the child imports as llama.cpp; for tests. */
  readonly moduleName?: string
}

/**
 * Runs the embedded engine in a child process, restarting it after a crash. Never throws: what goes
 * wrong is told by `onMessage`, and an engine that cannot start at all is told once and left alone.
 */
export class Embedded {
  readonly #options: EmbeddedOptions
  #child: Child | null = null
  #port: number
  #history: History = NO_HISTORY
  #readyAtMs: number | null = null
  #failedCause = ''
  #stopping = false
  #cancelRestart: () => void = () => undefined

  constructor(options: EmbeddedOptions) {
    this.#options = options
    this.#port = options.port ?? 0
    this.#start()
  }

  /** Of the child that runs now, or null. */
  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  /** Ends the child and all restarts. Resolves when it is gone; never rejects. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#cancelRestart()
    this.#child?.stop('hang_up')
    await this.#child?.ended
  }

  /** Nothing of our own command line (--watch, --inspect) is meant for the child, and llama.cpp prints
   *  where it likes: our stdout is for data. */
  #start(): void {
    this.#readyAtMs = null
    this.#failedCause = ''
    const { clock, modelPath, cacheDir, moduleName = 'node-llama-cpp' } = this.#options
    const options: ChildOptions = {
      modelPath,
      cacheDir: cacheDir ?? defaultCacheDir(process.env),
      port: this.#port,
      moduleName,
    }
    const args = [ENTRY, JSON.stringify(options)]
    this.#child = startChild(
      { command: process.execPath, args, env: {} },
      {
        clock,
        env: process.env,
        graceMs: STOP_MS,
        onMessage: (message) => this.#heard(readMessage(message)),
      },
    )
    void this.#child.ended.then((end) => this.#ended(end))
  }

  #heard(message: ChildMessage | null): void {
    if (message === null || this.#stopping) return
    if (message.type === 'failed') {
      this.#failedCause = message.cause
      return
    }
    const url = `http://127.0.0.1:${message.port}`
    this.#port = message.port
    this.#readyAtMs = this.#options.clock.nowMs()
    this.#options.onMessage(
      message.kind === 'toy'
        ? `embedded engine: TOY MODEL ${message.model} at ${url}. It strings words together and knows nothing; start a real engine, or set GENGATE_EMBEDDED to a GGUF's path.`
        : `embedded engine: ${message.model} at ${url}`,
    )
    this.#options.onReady(url, message.model)
  }

  #ended({ code, how, lines }: ChildEnd): void {
    const { pid } = this
    this.#child = null
    if (this.#stopping) return
    const failure = failureOfExitCode(code)
    const lastLine = lines.at(-1) ?? ''
    const why = pid === null ? how : `it ended by ${how}${lastLine === '' ? '' : `: ${lastLine}`}`
    if (failure === null) this.#crashed(why)
    else this.#options.onMessage(failureText(failure, this.#failedCause))
  }

  #crashed(why: string): void {
    const { clock, onMessage } = this.#options
    const at = clock.nowMs()
    const servedMs = this.#readyAtMs === null ? null : at - this.#readyAtMs
    this.#history = afterEnd(this.#history, { at, servedMs }, EMBEDDED_RESTARTS, () => 0)
    const { gaveUpAt, failedStarts, notBefore } = this.#history
    if (gaveUpAt !== null) {
      onMessage(`embedded engine: given up after ${failedStarts} failed starts; ${why}`)
      return
    }
    onMessage(`embedded engine: ${why}; next start in ${Math.round(notBefore - at) / 1_000} s`)
    this.#cancelRestart = clock.after(notBefore - at, () => this.#start())
  }
}
