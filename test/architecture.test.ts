import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { REASONS } from '../src/core/health/reason.ts'

// Goal: docs/ARCHITECTURE.md tells the house as it is. Method: its tables and walks are read and compared
// with the folders, the imports, the arrows of the linter and the table of reasons.

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (name: string): string => readFileSync(join(root, name), 'utf8')
const page = read('docs/ARCHITECTURE.md')
const rooms = readdirSync(join(root, 'src'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => `src/${name}`)

/** The files that a file imports, types included. */
function importsOf(file: string): string[] {
  const found = read(file).matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)
  return [...found].map((match) => join(dirname(file), match[1] ?? ''))
}

/** A section by its heading, up to the next one of its level or above. */
function section(title: string, text = page): string {
  const [, level = '', rest = ''] = new RegExp(`^(#+) ${title}\\n([^]*)`, 'm').exec(text) ?? []
  return rest.split(new RegExp(`^#{1,${level.length}} `, 'm'))[0] ?? ''
}

/** The cells of each row of the section's table, without its head. */
function rowsOf(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
}

const names = (cell: string | undefined): string[] => cell?.match(/[\w./-]+(?=`)/g) ?? []

interface Step {
  readonly file: string
  readonly text: string
}

/** The walks of a text: numbered steps, each of which begins with its file. */
function walksOf(text: string): Map<string, Step[]> {
  const walks = text.split(/^### /m).slice(1)
  return new Map(
    walks.map((walk) => {
      const [title = '', ...lines] = walk.split('\n')
      const steps = lines
        .join('\n')
        .split(/^\d+\. /m)
        .slice(1)
      return [
        title,
        steps.map((step) => ({ file: /^`([^`]+)`/.exec(step)?.[1] ?? '', text: step })),
      ]
    }),
  )
}

/** What is wrong with a walk; nothing, if each file is imported by one before it. */
function faultsOf(steps: readonly Step[], imports: (file: string) => string[]): string[] {
  return steps.flatMap(({ file, text }, at) => {
    const before = steps.slice(0, at).map((step) => step.file)
    if (at === 0 || before.some((one) => imports(one).includes(file))) return []
    const handed = /handed by `([^`]+)`/i.exec(text)?.[1]
    const both = handed === undefined ? [] : imports(handed)
    if (both.includes(file) && before.some((one) => both.includes(one))) return []
    return [`${file} is imported by none of ${before.join(', ')}`]
  })
}

t.test('faultsOf() sees a file that nobody before it imports', async (t) => {
  const imports: Readonly<Record<string, string[]>> = { a: ['b'], app: ['b', 'c'] }
  const walk = (...steps: Step[]): string[] => faultsOf(steps, (file) => imports[file] ?? [])
  const [a, b] = ['a', 'b'].map((file) => ({ file, text: '' })) as [Step, Step]
  t.strictSame(walk(a, b), [])
  t.strictSame(walk(b, a), ['a is imported by none of b'])
  t.strictSame(walk(a, b, { file: 'c', text: 'handed by `app`' }), [])
  t.strictSame(walk(a, { file: 'c', text: 'handed by `app`' }).length, 1, 'a is not of app')
})

t.test('the walks name files that exist and import each other in their order', async (t) => {
  const walks = walksOf(section('Three walks'))
  t.strictSame([...walks.keys()].length, 3)
  for (const [title, steps] of walks) {
    t.ok(steps.length >= 3 && steps.length <= 12, `${title}: ${steps.length} steps`)
    for (const { file, text } of steps) t.ok(sources.includes(file), `${title}: ${file} ${text}`)
    t.strictSame(
      faultsOf(steps, (file) => (sources.includes(file) ? importsOf(file) : [])),
      [],
      title,
    )
  }
})

t.test('every room stands in the table of the house with its arrows, and no other', async (t) => {
  const rows = rowsOf(section('The house'))
  const told = new Map(rows.map(([name, , arrows]) => [names(name)[0]?.slice(4), names(arrows)]))
  t.strictSame(new Set(told.keys()), new Set(rooms))
  const lint = JSON.parse(read('.oxlintrc.json')) as { overrides: { files: string[] }[] }
  for (const [room = '', arrows] of told) {
    const own = lint.overrides.find(({ files }) => files[0] === `src/${room}/**`)
    // The first rule of each room has the rooms that are closed to it.
    const [, closed = ''] = /\)\+\(([\w|]+)\)\//.exec(JSON.stringify(own ?? {})) ?? []
    const open = rooms.filter((one) => one !== room && !closed.split('|').includes(one))
    t.strictSame(new Set(arrows), new Set(own === undefined ? ['all'] : open), room)
  }
})

t.test('rooms import no room that leads back to them', async (t) => {
  const told = rowsOf(section('The house')).map(
    ([name, , arrows]) => [names(name)[0]?.slice(4) ?? '', names(arrows)] as const,
  )
  const arrows = new Map(told)
  const leadsTo = (from: string, to: string): boolean =>
    (arrows.get(from) ?? []).some((next) => next === to || leadsTo(next, to))
  for (const [room] of told) t.notOk(leadsTo(room, room), room)
})

t.test('the table of health has the reasons of REASONS, by state', async (t) => {
  const rows = rowsOf(section('Health in one table'))
  const told = rows.map(([state, reasons]) => [state, names(reasons).toSorted()])
  const byState = Map.groupBy(Object.entries(REASONS), ([, { state }]) => state)
  t.strictSame(
    new Map(told as [string, string[]][]),
    new Map([...byState].map(([state, own]) => [state, own.map(([name]) => name).toSorted()])),
  )
})

t.test('what it takes to add a thing is at most two files, and they are there', async (t) => {
  const rows = rowsOf(section('Where to add what'))
  t.ok(rows.length >= 7)
  for (const [what = '', files] of rows) {
    const named = names(files)
    t.ok(named.length >= 1 && named.length <= 2, `${what}: ${named.join(', ')}`)
    for (const file of named) t.ok(existsSync(join(root, file)), `${what}: ${file}`)
  }
})

t.test('each invariant names the test that holds it', async (t) => {
  const list = section('Invariants').split(/^- /m).slice(1)
  t.ok(list.length >= 8)
  for (const one of list) {
    const held = one.match(/`((?:test|\.oxlintrc)[\w./-]+)`/g) ?? []
    t.ok(held.length > 0, one)
    for (const name of held) t.ok(existsSync(join(root, name.slice(1, -1))), name)
  }
})
