import { existsSync, readFileSync } from 'node:fs'
import { createGate } from './cli/commands/serve.ts'
import { type CliIo, EXIT } from './cli/io.ts'
import { run } from './cli/program.ts'
import { ifStillAlive, systemClock } from './runtime/clock.ts'

/** Where the program meets its process: streams, signals, exit code. Nothing is decided here. */
function main(): void {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  const { version }: { readonly version: string } = JSON.parse(manifest)
  const { env } = process
  const io: CliIo = {
    env,
    out: (line) => process.stdout.write(`${line}\n`),
    err: (line) => process.stderr.write(`${line}\n`),
    colour: process.stdout.isTTY && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb',
    clock: systemClock,
    readFile,
    exists: existsSync,
  }
  // A gate serves on, whoever has stopped reading what it says.
  let serves = false
  process.stderr.on('error', () => {})
  // `gengate status | head -1` closes the pipe early, which is not our error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (serves) return
    if (error.code === 'EPIPE') process.exit()
    throw error
  })
  const ended = run(process.argv.slice(2), {
    io,
    version,
    nodeVersion: process.versions.node,
    execPath: process.execPath,
    createGate: (config, onDeath) => {
      serves = true
      return createGate(config, { io, version, terminal: process.stderr.isTTY }, onDeath)
    },
    onSignal: (signal, heard) => process.on(signal, heard),
    exit: (code) => process.exit(code),
  })
  ended.then(
    (code) => endWith(code, serves),
    (error: unknown) => {
      console.error(error)
      process.exit(EXIT.failed)
    },
  )
}

/** Lines that nobody reads would keep a gate that has ended alive. */
function endWith(code: number, served: boolean): void {
  process.exitCode = code
  if (served) ifStillAlive(LAST_LINES_MS, () => process.exit())
}

/** After a gate has ended, its last lines have so long to be read, ms. */
const LAST_LINES_MS = 500

function readFile(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

main()
