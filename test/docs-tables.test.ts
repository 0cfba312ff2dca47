import { existsSync, globSync, readFileSync } from 'node:fs'
import t from 'tap'
import { REASONS } from '../src/core/health/reason.ts'
import { mayRetry } from '../src/errors/body.ts'
import { type ErrorCode, ERRORS } from '../src/errors/catalogue.ts'
import { FILE_HEADERS, REQUEST_ALLOWED } from '../src/proxy/upstream/headers.ts'
import { METRICS, type MetricSpec } from '../src/telemetry/metric-table.ts'

// Goal: docs and tables say the same, both ways. Method: read the Markdown tables and compare rows.

function read(name: string): string {
  return readFileSync(new URL(`../docs/${name}`, import.meta.url), 'utf8')
}

/** The cells of every table row whose first cell is one name in backticks, by that name. */
function rowsOf(markdown: string): Map<string, string[]> {
  const rows = markdown
    .split('\n')
    .filter((line) => /^\| `[^`]+` \|/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim().replaceAll('\\|', '|')),
    )
  return new Map(rows.map(([name = '', ...cells]) => [name.replaceAll('`', ''), cells]))
}

t.test('docs/errors.md has exactly the rows of ERRORS', async (t) => {
  const codes = Object.keys(ERRORS) as ErrorCode[]
  const expected = codes.map((code) => {
    const { status, message, advice } = ERRORS[code]
    return [code, [String(status), message, advice, mayRetry(code) ? 'yes' : 'no']]
  })
  t.strictSame([...rowsOf(read('errors.md'))], expected)
})

t.test('docs/metrics.md has exactly the rows of METRICS', async (t) => {
  const table: Readonly<Record<string, MetricSpec>> = METRICS
  const expected = Object.entries(table).map(([name, { kind, labels, help, advice }]) => {
    const named = labels.map((label) => `\`${label}\``).join(', ')
    return [name, [kind, named === '' ? '(none)' : named, help, advice]]
  })
  t.strictSame([...rowsOf(read('metrics.md'))], expected)
})

t.test(
  'docs/metrics.md names every state and every label, and rules use real metrics',
  async (t) => {
    const text = read('metrics.md')
    for (const { state } of Object.values(REASONS)) t.match(text, `\`${state}\``, state)
    const used = new Set(text.match(/gengate_\w+/g))
    for (const name of used) t.ok(Object.hasOwn(METRICS, name), name)
    t.ok(used.size >= Object.keys(METRICS).length)
  },
)

t.test('docs/clients.md names every header that goes on to an upstream', async (t) => {
  const section = /## Headers that go on[^]*?\n## /.exec(read('clients.md'))?.[0] ?? ''
  const rows = section.split('\n').filter((line) => line.includes('| goes on'))
  const named = rows.flatMap((line) => line.split('|')[1]?.match(/[\w*-]+/g) ?? [])
  const prefixes = ['openai-*', 'anthropic-*', 'x-stainless-*']
  t.same(named.toSorted(), [...REQUEST_ALLOWED, ...FILE_HEADERS, ...prefixes].toSorted())
})

/** The rows of the two matrices: name, and the files that the last cell cites. */
const MATRICES = ['faults.md', 'bad-input.md'].flatMap((page) =>
  read(page)
    .split('\n')
    .filter((line) => /^\| (?!---|Row )/.test(line))
    .map((line) => {
      const cells = line.split(/(?<!\\)\|/)
      const name = /^ `([\w-]+)` $/.exec(cells[1] ?? '')?.[1] ?? ''
      const files = [...(cells[4] ?? '').matchAll(/`(test\/[\w./-]+)`/g)].map(
        ([, file]) => file ?? '',
      )
      return { line, page, name, width: cells.length, files }
    }),
)
const ROOT = new URL('../', import.meta.url)

t.test('each row of the matrices is named once and shown by a test that names it', (t) => {
  const names = MATRICES.map(({ name }) => name)
  t.equal(new Set(names).size, names.length)
  for (const { line, name, width, files } of MATRICES) {
    t.ok(name !== '' && width === 6 && files.length > 0, line)
    for (const file of files) {
      const text = existsSync(new URL(file, ROOT)) ? readFileSync(new URL(file, ROOT), 'utf8') : ''
      t.match(text, new RegExp(`(?<![\\w-])${name}(?![\\w-])`), `${file} shows ${name}`)
    }
  }
  t.end()
})

t.test('each row that a test names is a row of the matrices', (t) => {
  const names = new Set(MATRICES.map(({ name }) => name))
  const told = MATRICES.flatMap(({ page, name, files }) =>
    files.map((file) => `${file} ${page} ${name}`),
  )
  for (const file of globSync('test/**/*.ts', { cwd: ROOT })) {
    const text = readFileSync(new URL(file, ROOT), 'utf8')
    for (const [name] of text.matchAll(/\b[BF]\d\d\b/g)) {
      if (!names.has(name)) t.fail(`${file} names ${name}`)
    }
    const heads = text.matchAll(/^\/\/ Rows of docs\/([\w-]+\.md) that are shown here:([^.]*)\./gm)
    for (const [, page, list = ''] of heads) {
      for (const name of list.match(/[\w-]+/g) ?? []) {
        t.ok(told.includes(`${file} ${page} ${name}`), `${page} says that ${file} shows ${name}`)
      }
    }
  }
  t.end()
})
