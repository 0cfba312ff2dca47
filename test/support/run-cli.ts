import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { childEnv } from './child-env.ts'

export interface CliEnd {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** Runs one `gengate` command to its end, as a user does, with this environment and no other. */
export function runCli(args: readonly string[], env: Record<string, string> = {}): Promise<CliEnd> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: childEnv(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ code, out, err }))
  })
}
