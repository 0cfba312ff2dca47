import { globSync, readFileSync } from 'node:fs'
import process from 'node:process'
import t from 'tap'

// `npm test` and `npm run soak`: every test file as a process of its own, several at once.
//
// Tap's own runner loads its hooks into each of them, and into each process that a test starts in turn, for
// mocks and coverage, of which nothing is used here: half of the time that all tests took. These processes
// have none, and share a cache of compiled sources. `npx tap FILE` runs a single file all the same.

/** More than there are cores: many files wait for most of their time. */
const JOBS = 6
const isSoak = process.env['SOAK'] !== undefined
/** So long may a file take, ms. One that takes longer by its nature says so itself. */
const LIMIT_MS = isSoak ? 3_600_000 : 60_000

/** Has this file a long form? Properties have one, too. */
const isLong = (name: string): boolean =>
  /\/(?:soak|property)\.ts'/.test(readFileSync(name, 'utf8'))
const files = globSync('test/**/*.test.ts').filter((name) => !isSoak || isLong(name))
// What takes longest begins first, so that nothing is left to wait for at the end.
const rank = (name: string): number =>
  /^test\/(?:bin|e2e|embedded|props|sim)\//.test(name) ? 0 : 1
files.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))

t.setTimeout(files.length * LIMIT_MS)
t.jobs = JOBS
for (const name of files) {
  const cache = 'NODE_COMPILE_CACHE=node_modules/.cache/gengate-tests'
  // Tap puts its hooks into NODE_OPTIONS of whatever is started.
  const args = ['-u', 'NODE_OPTIONS', cache, process.execPath, '--no-warnings', name]
  void t.spawn('env', args, { name, timeout: LIMIT_MS, buffered: true })
}
