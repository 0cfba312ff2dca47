import type { RealEngine } from './installed.ts'
import { endings, startEngine } from './start.ts'

// Starts an engine as the tests do, waits for one token and ends it: does what `test/engines/install` made
// run on this machine?

const own = endings()
try {
  const engine = process.argv[2] as RealEngine
  const running = await startEngine(own, engine)
  process.stdout.write(`${engine}: first token after ${running.startedInS.toFixed(1)} s\n`)
} catch (error) {
  process.stdout.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
} finally {
  await own.end()
}
