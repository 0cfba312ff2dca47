/**
 * The child process of the embedded engine: `node main.js '{"modelPath":null,…}'`, started by
 * `child.ts`. A crash of native code ends this process and not the gate. It lives exactly as long
 * as its parent: when the channel closes, for whatever reason, it exits. Logs go to stderr.
 */
import { once } from 'node:events'
import type { Server } from 'node:http'
import { systemClock } from '../runtime/clock.ts'
import { systemRandom } from '../runtime/random.ts'
import { type ChildMessage, type ChildOptions, exitCodeOf, Failure, whyOf } from './channel.ts'
import { loadEngine } from './llama.ts'
import { createEmbeddedServer } from './server.ts'
import { ensureToyModel } from './toy.ts'

function log(line: string): void {
  process.stderr.write(`${line}\n`)
}

// Signals reach the whole group (Ctrl-C) or unit (systemd). The gate drains its streams first, and
// this end of them with it, so the gate's end is ours and nothing else is.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => undefined)
process.on('disconnect', () => process.exit(0))
// The parent's end of the pipe may be gone a moment before the channel says so.
process.stderr.on('error', () => undefined)

try {
  // Written by `child.ts` of the same version.
  await start(JSON.parse(process.argv[2] ?? ''))
} catch (error) {
  const cause = whyOf(error)
  log(cause)
  await tell({ type: 'failed', cause })
  process.exit(error instanceof Failure ? exitCodeOf(error.code) : 1)
}

async function start(options: ChildOptions): Promise<void> {
  const engine = await loadEngine({
    kind: options.modelPath === null ? 'toy' : 'gguf',
    modelPath: options.modelPath ?? (await toyPath(options.cacheDir)),
    moduleName: options.moduleName,
    clock: systemClock,
    random: systemRandom,
    log,
  })
  const server = createEmbeddedServer({ engine, clock: systemClock, log })
  const port = await listen(server, options.port)
  await tell({ type: 'ready', port, model: engine.modelId, kind: engine.kind })
}

async function toyPath(cacheDir: string): Promise<string> {
  try {
    return await ensureToyModel({ cacheDir })
  } catch (error) {
    throw new Failure('cache_unwritable', whyOf(error))
  }
}

/** Listens on 127.0.0.1 and returns the port: the one asked for if it is free. */
async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (error) {
    if (port === 0) throw error
    log(`port ${port} cannot be had again: ${error instanceof Error ? error.message : ''}`)
    return listen(server, 0)
  }
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('no port')
  return address.port
}

/** Resolves when the message is on its way, or cannot be sent any more. */
function tell(message: ChildMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) return resolve()
    process.send(message, () => resolve())
  })
}
