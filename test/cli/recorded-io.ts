import type { Config, ConfigResult } from '../../src/config/load.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { World } from '../../src/cli/command.ts'
import type { CliIo } from '../../src/cli/io.ts'
import { run } from '../../src/cli/program.ts'
import { systemClock } from '../../src/runtime/clock.ts'

/** A command line's surroundings that keep what was printed. */
export interface RecordedIo extends CliIo {
  readonly stdout: string[]
  readonly stderr: string[]
}

/** Surroundings with this environment, no files and no colours. */
export function recordedIo(env: CliIo['env'] = {}): RecordedIo {
  const stdout: string[] = []
  const stderr: string[] = []
  return {
    env,
    stdout,
    stderr,
    out: (line) => stdout.push(line),
    err: (line) => stderr.push(line),
    colour: false,
    clock: systemClock,
    readFile: () => null,
  }
}

/** The result of loading nothing but this environment and these flags. */
export function resultOf(env: CliIo['env'] = {}, upstreams: readonly string[] = []): ConfigResult {
  return loadConfig({ env, file: null, flags: { upstreams }, readFile: () => null })
}

/** The same where it must be valid. */
export function configOf(env: CliIo['env'] = {}): Config {
  const result = resultOf(env)
  if (!result.ok) throw new Error(JSON.stringify(result.issues))
  return result.config
}

/** A process around the command line in which no gate is built and no signal comes. */
export function worldWith(io: CliIo): World {
  return {
    io,
    version: '1.2.3',
    nodeVersion: '26.10.0',
    execPath: '/usr/bin/node',
    createGate: () => Promise.reject(new Error('no gate is built here')),
    onSignal: () => undefined,
    exit: () => undefined,
    terminal: { stdout: false, stderr: false },
  }
}

/** How a command line ended, and what it printed. */
export interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs one command line, everything real but the process; `files` are all the files that there are. */
export async function gengate(
  line: string | readonly string[],
  env: Record<string, string> = {},
  files: Record<string, string> = {},
): Promise<Ended> {
  const io: RecordedIo = { ...recordedIo(env), readFile: (path) => files[path] ?? null }
  const argv = typeof line === 'string' ? line.split(' ').filter((word) => word !== '') : line
  const code = await run(argv, worldWith(io))
  return { code, out: io.stdout.join('\n'), err: io.stderr.join('\n') }
}
