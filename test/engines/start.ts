import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { freePort } from '../support/owned.ts'
import type { RealEngine } from './installed.ts'
import { busiestThread, cpuSecondsOf, familyOf, memberOf } from './processes.ts'
import { startLine } from './start-lines.ts'

/** A real engine that runs and has generated. */
export interface Running {
  readonly engine: RealEngine
  readonly url: string
  readonly port: number
  /** The name of its one model. */
  readonly model: string
  readonly pid: number
  /** Seconds from its start to its first generation. */
  readonly startedInS: number
  /** What it printed last, for failures. */
  readonly tail: () => string
  /** Freezes its generation loop and nothing else; of an Ollama with several models in memory, that of
   *  its chat model. Resolves to what thaws it. */
  freeze(): Promise<() => Promise<void>>
  /** Sends a signal to its main process; `SIGKILL` goes to all of it. */
  signal(name: NodeJS.Signals): void
  /** SIGSTOP or SIGCONT to every process of it. */
  pause(name: 'SIGSTOP' | 'SIGCONT'): void
  /** Resolves when it is gone. */
  readonly gone: Promise<unknown>
  /** Is it generating, by its own counters or the kernel's? */
  isWorking(): Promise<boolean>
  /** Tokens that it has generated, by its own counter; null: it has none. */
  tokens(): Promise<number | null>
}

export interface Teardown {
  teardown: (end: () => Promise<void>) => unknown
}

/** What ends what was started, the last one first. */
export function endings(): Teardown & { readonly end: () => Promise<void> } {
  const ends: (() => Promise<void>)[] = []
  return {
    teardown: (end) => ends.push(end),
    async end() {
      for (let end = ends.pop(); end !== undefined; end = ends.pop()) await end()
    },
  }
}

export const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms))

/** Resolves when this holds; it is looked at now and then. */
export async function until(
  check: () => boolean | Promise<boolean>,
  { limitMs, everyMs }: { readonly limitMs: number; readonly everyMs: number },
): Promise<void> {
  const end = performance.now() + limitMs
  while (!(await check())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${String(check)}`)
    await sleep(everyMs)
  }
}

const HELD = fileURLToPath(new URL('held.py', import.meta.url))
/** vLLM imports Python for minutes on a busy machine. */
const START_LIMIT_MS = 600_000
/** A process that computes uses more of a processor than this share. */
const WORKING_SHARE = 0.25
const LOOK_MS = 600
const TAIL_CHARS = 4_000

/** Starts an engine and waits for a real generation. Its port is free unless one is given; `over`
 *  goes over its environment. It ends with `t`, and with this process. Rejects with its last words
 *  when it ends before. */
export async function startEngine(
  t: Teardown,
  engine: RealEngine,
  at?: number,
  over: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const startedAt = performance.now()
  const port = at ?? (await freePort())
  const { command, env, model } = startLine(engine, port, process.env)
  const { PATH = '', HOME = '', ENGINES_NICE = '5' } = process.env
  const holder = spawn('python3', [HELD, ...command], {
    env: { PATH, HOME, ENGINES_NICE, ...env, ...over },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const gone = once(holder, 'exit')
  let tail = ''
  holder.stderr.on('data', (chunk: Buffer) => (tail = (tail + String(chunk)).slice(-TAIL_CHARS)))
  const answers = linesOf(holder)
  // A pipe to a process that has ended breaks; its exit is what counts.
  holder.stdin.on('error', () => {})
  t.teardown(async () => {
    holder.stdin.end()
    await gone
  })
  const pid = Number(await answers())
  const url = `http://127.0.0.1:${port}`
  const order = async (text: string): Promise<void> => {
    holder.stdin.write(`${text}\n`)
    const answer = await answers()
    if (answer.startsWith('refused')) throw new Error(`${PTRACE} (${answer})`)
  }
  const running = { engine, url, port, model, pid, gone, tail: () => tail }
  await untilGenerates(running, holder)
  return {
    ...running,
    startedInS: (performance.now() - startedAt) / 1000,
    freeze: () => freezeOf(running, order),
    signal: (name) => (name === 'SIGKILL' ? signalAll(pid, name) : process.kill(pid, name)),
    pause: (name) => signalAll(pid, name),
    isWorking: () => isWorking(running),
    tokens: () => tokensOf(running),
  }
}

/** One generation of one token, asked directly. Its status; 0: nothing answered. */
export async function askDirectly(
  { url, model }: Pick<Running, 'url' | 'model'>,
  body: Record<string, unknown> = {},
  limitMs = 60_000,
): Promise<{ readonly status: number; readonly text: string }> {
  const messages = [{ role: 'user', content: 'OK' }]
  try {
    const answer = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages, max_tokens: 1, temperature: 0, ...body }),
      signal: AbortSignal.timeout(limitMs),
    })
    return { status: answer.status, text: await answer.text() }
  } catch {
    return { status: 0, text: '' }
  }
}

/** Ollama's runner has a process group of its own, so a group is not enough. */
function signalAll(pid: number, name: NodeJS.Signals): void {
  for (const member of familyOf(pid)) process.kill(member, name)
}

const PTRACE =
  'This machine does not let a parent trace its child, so the generation loop alone cannot be frozen: ' +
  'allow ptrace (docker run --cap-add SYS_PTRACE, or sysctl kernel.yama.ptrace_scope=1)'

type Known = Pick<Running, 'engine' | 'url' | 'port' | 'model' | 'pid' | 'tail'>

async function untilGenerates(running: Known, holder: ChildProcess): Promise<void> {
  const end = performance.now() + START_LIMIT_MS
  while (performance.now() < end) {
    if (holder.exitCode !== null || holder.signalCode !== null) break
    if ((await askDirectly(running)).status === 200) return
    await sleep(100)
  }
  const how = holder.exitCode === null ? 'is not ready' : `ended with ${holder.exitCode}`
  throw new Error(`${running.engine} ${how}:\n${running.tail()}`)
}

/** The loop alone: HTTP goes on answering. */
async function freezeOf(
  running: Known,
  order: (text: string) => Promise<void>,
): Promise<() => Promise<void>> {
  const { engine, pid } = running
  if (engine === 'vllm_cpu') {
    const core = memberOf(pid, /^VLLM::EngineCore/)
    if (core === null) throw new Error('no process of the name VLLM::EngineCore')
    process.kill(core, 'SIGSTOP')
    return () => Promise.resolve(void process.kill(core, 'SIGCONT'))
  }
  await order(`freeze ${await loopOf(running)}`)
  return () => order('thaw')
}

/** The thread that generates: the main one of llama-server, also below Ollama. mlx-lm has one that
 *  only its work tells apart. */
async function loopOf({ engine, pid, url, model }: Known): Promise<number> {
  if (engine === 'ollama') {
    const runner = memberOf(pid, new RegExp(`llama-server.*${await weightsOf(url, model)}`))
    if (runner === null) throw new Error(`Ollama has no runner with ${model}`)
    return runner
  }
  if (engine !== 'mlx') return pid
  const work = askDirectly({ url, model }, { max_tokens: 400 })
  const tid = await busiestThread(pid, LOOK_MS)
  await work
  return tid
}

/** The file that a runner of Ollama's is started with. */
async function weightsOf(url: string, model: string): Promise<string> {
  const body = JSON.stringify({ model })
  const { modelfile } = (await (
    await fetch(`${url}/api/show`, { method: 'POST', body })
  ).json()) as { modelfile: string }
  const [found] = /sha256-[0-9a-f]{64}/.exec(modelfile) ?? []
  if (found === undefined) throw new Error(`Ollama does not say where ${model} lies`)
  return found
}

async function isWorking({ engine, url, pid }: Known): Promise<boolean> {
  switch (engine) {
    case 'llamacpp':
      return (await metric(url, 'llamacpp:requests_processing')) > 0
    case 'vllm_cpu':
      return (await metric(url, 'vllm:num_requests_running')) > 0
    case 'ollama':
    case 'mlx': {
      const before = cpuSecondsOf(pid)
      await sleep(LOOK_MS)
      return cpuSecondsOf(pid) - before > (WORKING_SHARE * LOOK_MS) / 1000
    }
  }
}

async function tokensOf({ engine, url }: Known): Promise<number | null> {
  if (engine === 'llamacpp') return metric(url, 'llamacpp:n_decode_total')
  return engine === 'vllm_cpu' ? metric(url, 'vllm:generation_tokens_total') : null
}

/** The sum over all series of one metric. */
async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const series = text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  if (series.length === 0) throw new Error(`${url}/metrics has no ${name}`)
  return series.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

/** Its lines on stdout, one a call. Rejects when it has ended. */
function linesOf(holder: ChildProcess): () => Promise<string> {
  const lines: string[] = []
  let text = ''
  let wake: (() => void) | null = null
  holder.stdout?.on('data', (chunk: Buffer) => {
    text += String(chunk)
    const parts = text.split('\n')
    text = parts.pop() ?? ''
    lines.push(...parts)
    wake?.()
  })
  holder.on('exit', () => wake?.())
  return async () => {
    while (lines.length === 0) {
      if (holder.exitCode !== null) throw new Error(`held.py ended with ${holder.exitCode}`)
      await new Promise<void>((resolve) => (wake = resolve))
    }
    return lines.shift() ?? ''
  }
}
