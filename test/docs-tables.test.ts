import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { REASONS } from '../src/core/health/reason.ts'
import { ERRORS, type ErrorSpec } from '../src/errors/catalogue.ts'
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
  const table: Readonly<Record<string, ErrorSpec>> = ERRORS
  const expected = Object.entries(table).map(([code, { status, message, advice, retry }]) => [
    code,
    [String(status), message, advice, retry === undefined ? 'no' : 'yes'],
  ])
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

t.test(
  'each row of docs/faults.md and docs/bad-input.md is named once and shown by a test',
  async (t) => {
    const rows = [...read('faults.md').split('\n'), ...read('bad-input.md').split('\n')].filter(
      (line) => line.startsWith('| `'),
    )
    const names = rows.map((line) => line.split('`')[1] ?? '')
    t.equal(new Set(names).size, names.length)
    for (const line of rows) {
      const cells = line.split(/(?<!\\)\|/)
      t.equal(cells.length, 6, line)
      const files = cells[4]?.match(/`test\/[\w./-]+`/g) ?? []
      t.ok(files.length > 0, line)
      for (const file of files) {
        t.ok(existsSync(new URL(`../${file.slice(1, -1)}`, import.meta.url)), file)
      }
    }
  },
)
