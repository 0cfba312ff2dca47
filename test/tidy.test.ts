import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
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
const pages = files.filter((name) => name.endsWith('.md') && !name.includes('fixtures'))

t.test('every source file is loaded by a test of its room, or by one end to end', async (t) => {
  const imported = new Set(
    tests.flatMap((name) =>
      [...text(name).matchAll(/'(?:\.\.\/)+(src\/[^']+\.ts)'/g)].map((m) => m[1] ?? ''),
    ),
  )
  const reached = new Set<string>()
  const walk = (name: string): void => {
    if (reached.has(name) || !existsSync(join(root, name))) return
    reached.add(name)
    const dir = name.slice(0, name.lastIndexOf('/'))
    for (const match of text(name).matchAll(/(?:from|import\()\s*'(\.[^']+\.ts)'/g)) {
      walk(join(dir, match[1] ?? ''))
    }
  }
  for (const name of imported) walk(name)
  for (const name of sources) {
    // The entries run as processes of their own; test/bin, test/e2e and test/embedded start them.
    const entry = ['src/main.ts', 'src/embedded/main.ts'].includes(name)
    t.ok(entry || reached.has(name), name)
  }
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
    if (name.endsWith('.test.ts'))
      t.notMatch(text(name), /\bskip: true|\.skip\(|\bonly: true|\.only\(/, name)
  }
})

t.test('every file that a page or a script names exists', async (t) => {
  for (const name of pages) {
    const dir = name.includes('/') ? name.slice(0, name.lastIndexOf('/')) : ''
    for (const match of text(name).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      t.ok(existsSync(join(root, dir, match[1] ?? '')), `${name} → ${match[1]}`)
    }
    for (const match of text(name).matchAll(/`((?:src|test|docs|bench|docker|bin)\/[\w./-]*)`/g)) {
      t.ok(existsSync(join(root, match[1] ?? '')), `${name} names ${match[1]}`)
    }
  }
})

t.test('.ci/run runs what README.md says under Tests, word for word', async (t) => {
  const [, told = ''] = /^Tests: `([^`]+)`/m.exec(text('README.md')) ?? []
  const lines = text('.ci/run').split('\n')
  t.equal(lines.filter((line) => line.trim() === told).length, 1, told)
})
