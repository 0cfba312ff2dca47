import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Teardown } from './start.ts'

// What a transcript is made with: commands in a shell, as a user types them, and what they print.

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const COMMAND_LIMIT_MS = 90_000
const GATE_LIMIT_MS = 60_000
const SHUTDOWN_MS = 10_000
/** Longer lines lose their middle; what an error says is shown. */
const LINE_CHARS = 240
const ERROR_CHARS = 900
/** A stream is shown by this many of its first events, and of its last. */
const EVENTS_SHOWN = 2

/** What the output of a command must show. */
export interface Claim {
  /** A sentence, printed above. */
  readonly shows: string
  readonly wants: RegExp | readonly RegExp[]
  /** What must not be in it. */
  readonly never?: RegExp
  /** Which lines are printed; without it all. */
  readonly lines?: RegExp
}

/** Writes a section of Markdown; `env` is that of its commands. */
export class Scribe {
  /** What did not show what it should. */
  readonly failures: string[] = []
  readonly skipped: string[] = []
  env: Record<string, string> = {}
  #text = ''

  get text(): string {
    return `${this.#text.trim()}\n`
  }

  say(markdown: string): void {
    this.#text += `${markdown}\n\n`
    process.stderr.write(`${markdown}\n`)
  }

  /** Says that a part is left out, in the document as well. */
  skip(what: string): void {
    this.skipped.push(what)
    this.say(`**Skipped:** ${what}`)
  }

  /** Runs a command and writes down the lines that matter. Resolves to all of its output. */
  async run(command: string, claim: Claim): Promise<string> {
    const { output, wrong } = await this.check(command, claim)
    const shown = wrong === '' ? linesOf(output, claim.lines) : output
    this.say(claim.shows)
    this.say(`\`\`\`console\n$ ${command}\n${shorten(shown)}\n\`\`\``)
    if (wrong !== '') this.say(`**Not as it should be:** ${wrong}`)
    return output
  }

  /** Runs a command without a word in the document. `wrong`: empty where it shows what it should. */
  async check(
    command: string,
    claim: Claim,
  ): Promise<{ readonly output: string; readonly wrong: string }> {
    const output = await shell(command, this.env)
    const missing = [claim.wants].flat().filter((want) => !want.test(output))
    const wrong = [
      ...missing.map((want) => `no ${String(want)}`),
      ...(claim.never?.test(output) === true ? [`there is ${String(claim.never)}`] : []),
    ].join(', ')
    if (wrong !== '') this.failures.push(`${command}\n  ${wrong}\n${output}`)
    return { output, wrong }
  }

  /** Runs a command until it prints this, or for so long. */
  async until(command: string, wants: RegExp | readonly RegExp[], limitMs: number): Promise<void> {
    const end = performance.now() + limitMs
    while (performance.now() < end) {
      const output = await shell(command, this.env)
      if ([wants].flat().every((want) => want.test(output))) return
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }
}
const LOOK_EVERY_MS = 500

/** Runs in the folder of the clone; `gengate` is the command of the clone. Resolves to what it printed. */
async function shell(command: string, env: Readonly<Record<string, string>>): Promise<string> {
  const { PATH = '', HOME = '' } = process.env
  const script = `gengate() { node bin/gengate.cjs "$@"; }\n${command}`
  const child = spawn('bash', ['-c', script], {
    cwd: ROOT,
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let [output, words] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (words += chunk))
  const late = setTimeout(() => signalGroup(child, 'SIGKILL'), COMMAND_LIMIT_MS)
  await once(child, 'close')
  clearTimeout(late)
  if (child.signalCode !== null) output += `\n(nothing more within ${COMMAND_LIMIT_MS / 1000} s)`
  return output || words
}

/** Of a process that is detached: what it started has its group. */
function signalGroup({ pid, exitCode, signalCode }: ChildProcess, name: NodeJS.Signals): void {
  if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, name)
}

function linesOf(output: string, wanted: RegExp | undefined): string {
  if (wanted === undefined) return output
  return output
    .split('\n')
    .filter((line) => wanted.test(line))
    .join('\n')
}

/** Without what differs at each run and says nothing: ids, times, the middle of streams and of vectors. */
export function shorten(output: string): string {
  const lines = output
    .replaceAll('\r', '')
    .split('\n')
    .filter((line) => line !== '' && !DULL_HEADER.test(line))
    .map((line) =>
      line
        .trimEnd()
        .replaceAll(/"(id|system_fingerprint)":"(chatcmpl|cmpl|fp|b)[\w-]*"/g, '"$1":"…"')
        .replaceAll(/"created":\d+/g, '"created":…')
        .replaceAll(/(-?\d+\.\d+),(?:-?\d+(?:\.\d+)?(?:e-?\d+)?,){8,}[^\]]*\]/g, '$1, …]'),
    )
  const events = lines.filter((line) => line.startsWith('data: '))
  const hidden = new Set(events.slice(EVENTS_SHOWN, -EVENTS_SHOWN))
  const shown: string[] = []
  for (const line of lines) {
    if (!hidden.has(line)) shown.push(cut(line))
    else if (shown.at(-1) !== '…') shown.push('…')
  }
  return shown.join('\n')
}
/** Headers that say nothing about the gate. */
const DULL_HEADER =
  /^(?:date|connection|keep-alive|transfer-encoding|content-length|content-type|via|x-request-id|cache-control|vary|server|access-control-\S+|x-content-type-options|cross-origin-\S+):/i

function cut(line: string): string {
  if (line.length <= (line.startsWith('{"error"') ? ERROR_CHARS : LINE_CHARS)) return line
  return `${line.slice(0, (LINE_CHARS * 2) / 3)} … ${line.slice(-LINE_CHARS / 3)}`
}

/** Starts the gate by `npm start`; `t` ends it. Resolves to its start lines when it listens. */
export async function npmStart(
  t: Teardown,
  port: number,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly lines: string; readonly end: () => Promise<void> }> {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn('npm', ['start'], {
    cwd: ROOT,
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    // A group of its own, since npm has a shell between itself and the gate.
    detached: true,
  })
  const gone = once(child, 'exit')
  const end = async (): Promise<void> => {
    signalGroup(child, 'SIGTERM')
    const late = setTimeout(() => signalGroup(child, 'SIGKILL'), SHUTDOWN_MS)
    await gone
    clearTimeout(late)
  }
  t.teardown(end)
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (log += chunk))
  const limit = performance.now() + GATE_LIMIT_MS
  for (;;) {
    const live = await fetch(`http://127.0.0.1:${port}/livez`).catch(() => null)
    if (live?.status === 200) break
    if (child.exitCode !== null || performance.now() > limit) throw new Error(log)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
  return {
    lines: log
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('{'))
      .join('\n'),
    end,
  }
}

/** This port if nobody has it, else one that is free. */
export async function portLike(wish: number): Promise<number> {
  for (const port of [wish, 0]) {
    const server = createServer().listen(port, '127.0.0.1')
    const found = await Promise.race([
      once(server, 'listening').then(() => server.address()),
      once(server, 'error').then(() => null),
    ]).catch(() => null)
    server.close()
    if (found !== null && typeof found === 'object') return found.port
  }
  throw new Error('no free port')
}
