import t from 'tap'
import { GLOBAL_SETTINGS } from '../../src/config/settings.ts'
import { UPSTREAM_FIELDS } from '../../src/config/upstream-settings.ts'
import { GROUPS, readAs, type SettingRow } from '../../src/config/types.ts'

const ROWS: [string, SettingRow][] = Object.entries({ ...GLOBAL_SETTINGS, ...UPSTREAM_FIELDS })

t.test('every default is a value that its own type accepts', async (t) => {
  for (const [name, row] of ROWS) {
    if (row.default !== undefined) t.equal(readAs(row.type, row.default).ok, true, name)
  }
})

t.test('every row has one line of documentation and its place', async (t) => {
  for (const [name, row] of ROWS) {
    t.match(row.doc, /^[`A-Z][^\n]*\.$/, name)
    t.ok(GROUPS.includes(row.group), name)
  }
})

t.test('the defaults are those that operators were promised', async (t) => {
  const promised = {
    GENGATE_HOST: '127.0.0.1',
    GENGATE_PORT: '8000',
    GENGATE_UPSTREAMS: 'vllm_metal,vllm_cpu,ollama',
    GENGATE_EMBEDDED: 'auto',
    GENGATE_POLICY: 'priority',
    GENGATE_DETECT_WITHIN_MS: '4000',
    GENGATE_PROBE_INTERVAL_MS: '2000',
    GENGATE_PROBE_QUIET_INTERVAL_MS: '60000',
    GENGATE_PROBE_MAX_TOKENS: '1',
    GENGATE_CONNECT_TIMEOUT_MS: '1000',
    GENGATE_COMMIT_DEADLINE_MS: '8000',
    GENGATE_HOLD_MS: '2000',
    GENGATE_BODY_MAX_BYTES: String(64 * 1024 * 1024),
    GENGATE_CONNECTIONS_MAX: '5000',
    GENGATE_DRAIN_MS: '30000',
    GENGATE_LOG_LEVEL: 'info',
  }
  for (const [name, value] of Object.entries(promised)) {
    t.match(GLOBAL_SETTINGS, { [name]: { default: value } }, name)
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
