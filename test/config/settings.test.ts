import { readFileSync } from 'node:fs'
import t from 'tap'
import { defaultUrl } from '../../src/config/known.ts'
import { engineOf } from '../../src/engines/index.ts'
import { loadConfig } from '../../src/config/load.ts'
import { meaningOf } from '../../src/config/names.ts'
import { GLOBAL_SETTINGS, SETTING_GROUPS } from '../../src/config/settings.ts'
import { readAs, type SettingRow } from '../../src/config/types.ts'
import { UPSTREAM_FIELDS } from '../../src/config/upstream-settings.ts'

const DOCS = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')

/** The tables of docs/configuration.md. */
const GROUPS: Record<string, Record<string, SettingRow>> = {
  ...SETTING_GROUPS,
  'One upstream': Object.fromEntries(
    Object.entries(UPSTREAM_FIELDS).map(([field, row]) => [`GENGATE_<NAME>_${field}`, row]),
  ),
}

function unitOf({ type }: SettingRow): string | undefined {
  const unit = type.meta()?.['unit']
  return typeof unit === 'string' ? unit : undefined
}

function line([name, row]: [string, SettingRow]): string {
  const standard = row.default === undefined ? (row.derived ?? 'unset') : `\`${row.default}\``
  const unit = row.default === undefined ? '' : ` ${unitOf(row) ?? ''}`
  const restart = row.restart === true ? ' A change needs a restart.' : ''
  return `| \`${name}\` | ${(standard + unit).trimEnd()} | ${row.doc.replaceAll('|', '\\|')}${restart} |`
}

const ROWS: [string, SettingRow][] = Object.entries({ ...GLOBAL_SETTINGS, ...UPSTREAM_FIELDS })

t.test('every default is a value that its own type accepts', async (t) => {
  for (const [name, row] of ROWS) {
    if (row.default !== undefined) t.equal(readAs(row.type, row.default).ok, true, name)
  }
})

t.test('every row has one line of documentation', async (t) => {
  for (const [name, row] of ROWS) t.match(row.doc, /^[`A-Z][^\n]*\.$/, name)
})

t.test('a name ends in its unit, and a unit is in its name', async (t) => {
  const units = new Map([
    ['MS', 'ms'],
    ['BYTES', 'bytes'],
  ])
  for (const [name, row] of ROWS) {
    t.equal(unitOf(row), units.get(name.split('_').at(-1) ?? ''), name)
  }
})

t.test('only what cannot change while the gate runs needs a restart', async (t) => {
  t.same(
    ROWS.filter(([, row]) => row.restart === true).map(([name]) => name),
    ['GENGATE_HOST', 'GENGATE_PORT', 'GENGATE_EMBEDDED'],
  )
  t.same(
    ROWS.filter(([, row]) => row.secret === true).map(([name]) => name),
    ['GENGATE_API_KEYS', 'API_KEY', 'RUN'],
  )
})

t.test('each group of settings is one table of docs/configuration.md, row by row', async (t) => {
  for (const [group, rows] of Object.entries(GROUPS)) {
    const [, section = ''] = DOCS.split(`\n### ${group}\n`)
    const table = (section.split(/\n##/)[0] ?? '')
      .split('\n')
      .filter((row) => row.startsWith('| `'))
    t.same(table, Object.entries(rows).map(line), group)
  }
})

t.test('docs/configuration.md names no setting that does not exist', async (t) => {
  const names = new Set(DOCS.match(/\bGENGATE_[A-Z0-9_]*[A-Z0-9]\b(?!_)/g))
  t.ok(names.size > 20)
  for (const name of names) t.not(meaningOf(name).kind, 'unknown', name)
})

t.test('docs/configuration.md tells the default URLs as they are', async (t) => {
  const [, section = ''] = DOCS.split('| Name or engine | Default URL |')
  const rows = [...(section.split('\n\n')[0] ?? '').matchAll(/^\| (`.*`) \| (.*) \|$/gm)]
  const told = rows.flatMap(([, names = '', url = '']) =>
    names.split(', ').map((name) => [name.replaceAll('`', ''), url.replaceAll('`', '')] as const),
  )
  t.ok(told.length >= 10)
  for (const [name, url] of told) {
    t.equal(defaultUrl(name, engineOf(name)) ?? 'none: set the URL', url, name)
  }
})

t.test('the examples of docs/configuration.md load without an issue', async (t) => {
  const examples = [...DOCS.matchAll(/```ini\n(.*?)```/gs)].map(([, text = '']) => text)
  t.ok(examples.length >= 5)
  for (const text of examples) {
    const loaded = loadConfig({
      env: {},
      file: { path: '.env', text },
      flags: { upstreams: [] },
      readFile: () => 'key\n',
    })
    t.equal(loaded.ok, true, text, { loaded })
    t.same(loaded.ok ? loaded.config.unused : [], [], 'every line has an effect')
  }
})
