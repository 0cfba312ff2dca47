import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { childEnv } from '../core/owned/child-env.ts'
import type { Clock } from '../runtime/clock.ts'
import { failureOfExitCode, failureText } from './failure.ts'
import { type ChildMessage, type ChildOptions, readMessage } from './message.ts'
import { afterCrash, type CrashHistory, NO_CRASHES } from './restart.ts'
import { defaultCacheDir } from './toy.ts'

/** The child's entry beside this file: `main.ts` from the sources, `main.js` from `dist`. */
const ENTRY = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? 'main.ts' : 'main.js', import.meta.url),
)

/** The child exits at once when told to; one that does not within this time is killed, ms. */
const STOP_MS = 2_000

/** Characters of the child's stderr that are kept, to explain a crash. */
const STDERR_CHARS_MAX = 2_000

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

/** A running embedded engine. */
export interface Embedded {
  /** Of the child that runs now, or null. */
  readonly pid: number | null
  /** Ends the child and all restarts. Resolves when it is gone; never rejects. */
  stop(): Promise<void>
}

/**
 * Runs the embedded engine in a child process, restarting it after a crash. Never throws: what goes
 * wrong is told by `onMessage`, and an engine that cannot start at all is told once and left alone.
 */
export function startEmbedded(options: EmbeddedOptions): Embedded {
  return new Supervisor(options)
}

class Supervisor implements Embedded {
  readonly #options: EmbeddedOptions
  #child: ChildProcess | null = null
  #port: number
  #history: CrashHistory = NO_CRASHES
  #readyAtMs: number | null = null
  #failedCause = ''
  #stopping = false
  #cancelRestart: () => void = () => undefined

  constructor(options: EmbeddedOptions) {
    this.#options = options
    this.#port = options.port ?? 0
    this.#start()
  }

  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#cancelRestart()
    const child = this.#child
    if (child === null) return
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(STOP_MS, () => child.kill('SIGKILL'))
      child.once('exit', () => {
        cancel()
        // Whatever the child left running may hold the other end of the pipe.
        child.stderr?.destroy()
        resolve()
      })
      if (child.connected) child.disconnect()
      else child.kill('SIGKILL')
    })
  }

  #start(): void {
    this.#readyAtMs = null
    this.#failedCause = ''
    let child: ChildProcess
    try {
      child = fork(ENTRY, [JSON.stringify(this.#childOptions())], {
        // Nothing of the parent's command line (--watch, --inspect) is meant for the child.
        execArgv: [],
        env: childEnv(process.env),
        // llama.cpp prints where it likes; the gate's stdout is for data.
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      })
    } catch (error) {
      this.#crashed(error instanceof Error ? error.message : String(error))
      return
    }
    this.#child = child
    let stderr = ''
    let ended = false
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-STDERR_CHARS_MAX)
    })
    child.on('message', (message) => this.#heard(readMessage(message)))
    const end = (why: string, exitCode: number | null): void => {
      if (ended) return
      ended = true
      this.#ended(exitCode, `${why}${lastLine(stderr)}`)
    }
    child.on('exit', () => {
      this.#child = null
    })
    // `error`: it could not be started, or a signal not be sent. Only the first ends it.
    child.on('error', (error) => {
      if (child.pid !== undefined) return
      this.#child = null
      end(error.message, null)
    })
    child.on('close', (code, signal) => end(`it ended by ${signal ?? `exit code ${code}`}`, code))
  }

  #childOptions(): ChildOptions {
    const { modelPath, cacheDir, moduleName } = this.#options
    return {
      modelPath,
      cacheDir: cacheDir ?? defaultCacheDir(process.env),
      port: this.#port,
      moduleName: moduleName ?? 'node-llama-cpp',
    }
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

  #ended(exitCode: number | null, why: string): void {
    if (this.#stopping) return
    const failure = failureOfExitCode(exitCode)
    if (failure === null) this.#crashed(why)
    else this.#options.onMessage(failureText(failure, this.#failedCause))
  }

  #crashed(why: string): void {
    const { clock, onMessage } = this.#options
    const servedMs = this.#readyAtMs === null ? null : clock.nowMs() - this.#readyAtMs
    const { history, waitMs } = afterCrash(this.#history, servedMs)
    this.#history = history
    if (waitMs === null) {
      onMessage(`embedded engine: given up after ${history.startsFailed} failed starts; ${why}`)
      return
    }
    onMessage(`embedded engine: ${why}; next start in ${waitMs / 1000} s`)
    this.#cancelRestart = clock.after(waitMs, () => this.#start())
  }
}

function lastLine(stderr: string): string {
  const line = stderr.trimEnd().split('\n').at(-1) ?? ''
  return line === '' ? '' : `: ${line}`
}
