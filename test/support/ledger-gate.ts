import process from 'node:process'
import { App } from '../../src/app.ts'
import { loadConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/telemetry/log.ts'

// A gate in a process of its own, so that clients and upstreams do not share its core. Its
// environment is its argument; it tells its port, then every line that is an error.

const env = JSON.parse(process.argv[2] ?? '{}') as Record<string, string>
const input = { env, file: null, flags: { upstreams: [] }, readFile: () => null }
const result = loadConfig(input)
if (!result.ok) throw new Error(result.issues.map((i) => `${i.name} ${i.message}`).join('\n'))
const log = createLog({
  tty: false,
  color: false,
  level: 'error',
  clock: systemClock,
  write: (line) => process.send?.({ line }),
})
const app = new App(result.config, {
  clock: systemClock,
  random: Math.random,
  version: '0.0.0-ledger',
  log,
})
const { port } = await app.listen()
process.send?.({ port })
// Without its parent nobody would end it.
process.on('disconnect', () => process.exit())
