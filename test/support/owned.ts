import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { childEnv } from './child-env.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** A small engine; its own first lines say how it is started. */
export const ENGINE_PROGRAM: string = fileURLToPath(new URL('engine-program.ts', import.meta.url))

/** A gate in a process of its own that owns the engine `a`. */
export interface OwningGate {
  readonly child: ChildProcess
  readonly url: string
  readonly engineUrl: string
  /** Everything it has logged. */
  readonly log: () => string
  /** Steps of the engine so far: `started`, `ended wedged`, … */
  readonly steps: () => string[]
  /** Pids of engines and workers that it has started so far, from the engine's own log. */
  readonly pids: () => number[]
  readonly upstream: () => Promise<Record<string, unknown> & { process: Record<string, unknown> }>
  /** Sends a signal and waits for the end. */
  readonly end: (signal: NodeJS.Signals) => Promise<void>
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** Starts a gate over an engine with these traits. What it leaves behind is killed after `t`. */
export async function owningGate(
  t: Test,
  traits: string,
  options: { port?: number; state?: string; env?: Record<string, string> } = {},
): Promise<OwningGate> {
  const port = options.port ?? (await freePort())
  const state = options.state ?? t.testdir({})
  const child = spawn(process.execPath, [MAIN, 'serve'], {
    env: childEnv({
      HOME: state,
      XDG_STATE_HOME: state,
      GENGATE_PORT: '0',
      GENGATE_EMBEDDED: 'off',
      GENGATE_UPSTREAMS: `a=http://127.0.0.1:${port}`,
      GENGATE_A_RUN: `'${process.execPath}' '${ENGINE_PROGRAM}' ${port} ${traits}`,
      ...options.env,
    }),
    cwd: state,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  let text = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const logPath = `${state}/gengate/a-127.0.0.1-${port}.log`
  const pids = (): number[] => {
    if (!existsSync(logPath)) return []
    const found = readFileSync(logPath, 'utf8').matchAll(/^(?:worker|engine) (\d+)$/gm)
    return [...found].map(([, pid]) => Number(pid))
  }
  t.teardown(async () => {
    child.kill('SIGKILL')
    await gone
    for (const pid of pids().filter(isAlive)) process.kill(pid, 'SIGKILL')
  })
  const listening = /listens on (http:\/\/127\.0\.0\.1:\d+)/
  await until(() => listening.test(text) || child.exitCode !== null)
  const [, url = ''] = listening.exec(text) ?? []
  return {
    child,
    url,
    engineUrl: `http://127.0.0.1:${port}`,
    log: () => text,
    steps: () =>
      [...text.matchAll(/"event":"engine_process".*?"step":"(\w+)","cause":(?:null|"(\w+)")/g)].map(
        ([, step, cause]) => (cause === undefined ? `${step}` : `${step} ${cause}`),
      ),
    pids,
    async upstream() {
      const status = (await (await fetch(`${url}/gate/status`)).json()) as {
        upstreams: [Awaited<ReturnType<OwningGate['upstream']>>]
      }
      return status.upstreams[0]
    },
    async end(signal) {
      child.kill(signal)
      await gone
    },
  }
}

/** Lives this process? One that only waits to be collected does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  if (!existsSync('/proc/self/stat')) return true
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return false
  }
}

/** Looks until it holds; the runner's own time limit ends a wait in vain. */
export async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 50))
}

/** Resolves when the gate has seen the engine generate, `times` times. */
export function untilGenerated(gate: OwningGate, times: number): Promise<void> {
  return until(() => gate.steps().filter((step) => step === 'generated').length >= times)
}

/** One chat request. */
export function chat(url: string, more: object = {}): Promise<Response> {
  const messages = [{ role: 'user', content: 'hello' }]
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages, max_tokens: 4, ...more }),
  })
}
