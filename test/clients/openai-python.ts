import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { python } from './installed.ts'
import type { Ask, Called, Driver } from './prove.ts'
import { TOOL } from './stage.ts'

const SCRIPT = fileURLToPath(new URL('openai_python.py', import.meta.url))

/** One line of the script. */
interface Told {
  readonly version?: string
  readonly text?: string
  readonly tokens?: number
  readonly calls?: Called[]
  readonly ids?: string[]
  readonly raised?: { readonly message: string; readonly code: unknown }
}

/** What the client raised over there. */
class Raised extends Error {
  readonly code: unknown
  constructor({ message, code }: { readonly message: string; readonly code: unknown }) {
    super(message)
    this.code = code
  }
}

// `-I` and no environment: proxies, keys and paths of the caller's are none of a test's business.
const child = spawn(python(), ['-I', SCRIPT], { env: {}, stdio: ['pipe', 'pipe', 'inherit'] })
after(() => child.stdin.end())
const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()

async function next(): Promise<Told> {
  const line = await lines.next()
  if (line.done === true) throw new Error('openai_python.py has ended')
  return JSON.parse(line.value) as Told
}

/** Has the script do one thing; the process lives on, so that an abort is the client's own. */
async function run(what: string, ask: Ask): Promise<Told> {
  child.stdin.write(`${JSON.stringify({ what, ...ask, tool: TOOL })}\n`)
  const told = await next()
  if (told.raised !== undefined) throw new Raised(told.raised)
  return told
}

const { version = '' } = await next()

/** The official client for Python. */
export const openaiPython: Driver = {
  name: `python openai ${version}`,
  chat: async (ask) => (await run('chat', ask)).text ?? '',
  async stream(ask) {
    const { text = '', tokens } = await run('stream', ask)
    return { text, tokens }
  },
  tools: async (ask) => (await run('tools', ask)).calls ?? [],
  abort: async (ask) => void (await run('abort', ask)),
  models: async (ask) => (await run('models', ask)).ids ?? [],
  codeOf: (error) => (error instanceof Raised ? error.code : undefined),
  waitsAsTold: true,
}

/** A chat by a client that was told nothing: it finds the gate in its environment. */
export async function chatByEnvironment(ask: Ask): Promise<string> {
  return (await run('environment', ask)).text ?? ''
}
