/** A stand-in for the gate: starts the embedded engine and says so on stdout, one JSON line. */
import { Embedded } from '../../src/embedded/child.ts'
import { systemClock } from '../../src/runtime/clock.ts'

const [cacheDir = '', moduleName = 'node-llama-cpp'] = process.argv.slice(2)
const embedded = new Embedded({
  clock: systemClock,
  modelPath: null,
  cacheDir,
  moduleName,
  onReady: (url) => process.stdout.write(`${JSON.stringify({ url, pid: embedded.pid })}\n`),
  onMessage: (text) => process.stdout.write(`${text}\n`),
})
