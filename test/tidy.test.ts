import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

// The repository's own rules, over the files that git knows.

const root = fileURLToPath(new URL('..', import.meta.url))
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
})
  .toString()
  .split('\n')
  .filter((name) => name !== '' && existsSync(join(root, name)))
const text = (name: string) => readFileSync(join(root, name), 'utf8')
const sources = files.filter((name) => name.startsWith('src/') && name.endsWith('.ts'))
const tests = files.filter((name) => name.startsWith('test/') && name.endsWith('.ts'))
/** Tests that are about no single file. */
const ELSEWHERE =
  /^test\/(?:bench|bin|clients|docker|docs|e2e|engines|fixtures|props|sim|support)\//
/** They only join what others decide; a whole gate shows that the parts fit (test/e2e). */
const SHELLS: readonly string[] = ['src/proxy/handler.ts']
const pages = files.filter((name) => name.endsWith('.md') && !name.includes('fixtures'))

const importsOf = (name: string): string[] =>
  [...text(name).matchAll(/(?:from|import\()\s*'(\.[^']+\.ts)'/g)].map(([, path = '']) =>
    join(dirname(name), path),
  )
const roomOf = (name: string): string => name.split('/').slice(0, 2).join('/')
const testOf = (name: string): string => name.replace(/^src/, 'test').replace(/\.ts$/, '.test.ts')

// Fails for a file that only the whole gate exercises: rules in it are found by accident.
t.test('every source file has a test, or is used by a file of its room that has one', (t) => {
  const byTests = new Set(tests.flatMap(importsOf))
  const tested = sources.filter((name) => byTests.has(name) || tests.includes(testOf(name)))
  const near = new Set(
    tested.flatMap((name) => importsOf(name).filter((one) => roomOf(one) === roomOf(name))),
  )
  const lonely = sources.filter(
    (name) =>
      !tested.includes(name) &&
      !near.has(name) &&
      // Types alone cannot fail.
      /^export (?:async |declare )?(?:const|function|class|let)/m.test(text(name)),
  )
  t.strictSame(lonely, SHELLS)
  t.end()
})

t.test('a test stands where its subject does: test/ROOM/NAME.test.ts for src/ROOM/NAME.ts', (t) => {
  const mirrors = tests.filter(
    (name) => name.endsWith('.test.ts') && !/^test\/[^/]+$/.test(name) && !ELSEWHERE.test(name),
  )
  const astray = mirrors.filter((name) => !sources.some((one) => testOf(one) === name))
  t.strictSame(astray, [])
  t.end()
})

t.test('every file that a test or a source opens beside itself exists', (t) => {
  for (const name of [...sources, ...tests]) {
    for (const [, path = ''] of text(name).matchAll(/new URL\(\s*[`'](\.[^`'$]*)/g)) {
      t.ok(existsSync(join(root, dirname(name), path)), `${name} opens ${path}`)
    }
  }
  t.end()
})

t.test('each runtime dependency is imported in one file of a room', async (t) => {
  const manifest = JSON.parse(text('package.json')) as { dependencies: Record<string, string> }
  for (const name of Object.keys(manifest.dependencies)) {
    const users = sources.filter((file) => new RegExp(`from '${name}'`).test(text(file)))
    const values = users.filter((file) =>
      new RegExp(`import (?!type)[^;]*from '${name}'`).test(text(file)),
    )
    t.ok(users.length > 0, `${name} is used`)
    const rooms = values.map((file) => file.split('/')[1])
    t.equal(new Set(rooms).size, values.length, `${name}: ${values.join(', ')}`)
  }
})

t.test('dependencies are pinned exactly', async (t) => {
  const manifest = JSON.parse(text('package.json')) as Record<string, Record<string, string>>
  for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies']) {
    for (const [name, version] of Object.entries(manifest[kind] ?? {}))
      t.match(version, /^\d+\.\d+\.\d+$/, name)
  }
})

t.test('process.env and Math.random stay where they belong', async (t) => {
  for (const name of sources) {
    if (/Math\.random/.test(text(name))) t.equal(name, 'src/runtime/random.ts')
    if (/process\.env(?!`)|\benv\b.*= process/.test(text(name))) {
      t.match(name, /^src\/(main|embedded\/(main|toy|child))\.ts$/, name)
    }
  }
})

t.test('nothing is left over: markers, skipped or lonely tests', async (t) => {
  for (const name of [...sources, ...tests, ...pages]) {
    if (name === 'test/tidy.test.ts') continue
    t.notMatch(text(name), /\b(TODO|FIXME|XXX|HACK)\b/, name)
    if (!name.endsWith('.test.ts')) continue
    t.notMatch(text(name), /\bskip: true|\.skip\(|\bonly: true|\.only\(/, name)
    t.notMatch(
      text(name),
      /t\.(?:ok|equal)\([^\n]*(?:performance|Date)\.now\(\)/,
      `${name}: wall time`,
    )
    // A check that is not made says so: `LINUX_ONLY`, or `skip` with a reason.
    t.notMatch(text(name), /^ *if \(process\.platform[^\n]*\{$/m, name)
  }
})

t.test('every file that a page or a script names exists', async (t) => {
  for (const name of pages) {
    const dir = name.includes('/') ? name.slice(0, name.lastIndexOf('/')) : ''
    for (const match of text(name).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      t.ok(existsSync(join(root, dir, match[1] ?? '')), `${name} → ${match[1]}`)
    }
    for (const match of text(name).matchAll(/`((?:src|test|docs|bench|docker|bin)\/[\w./-]*)`/g)) {
      // ROOM and NAME stand for any.
      if (/\b[A-Z]{4}\b/.test(match[1] ?? '')) continue
      t.ok(existsSync(join(root, match[1] ?? '')), `${name} names ${match[1]}`)
    }
  }
})

t.test('.ci/run runs what README.md says under Tests, word for word', async (t) => {
  const [, told = ''] = /^Tests: `([^`]+)`/m.exec(text('README.md')) ?? []
  const lines = text('.ci/run').split('\n')
  t.equal(lines.filter((line) => line.trim() === told).length, 1, told)
})
