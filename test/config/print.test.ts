import t from 'tap'
import { type Config, loadConfig } from '../../src/config/load.ts'
import { configToJson, diffConfig, printConfig, printIssue } from '../../src/config/print.ts'
import type { Env } from '../../src/config/sources.ts'

const loaded = loadConfig({
  env: {
    GENGATE_PORT: '8010',
    GENGATE_API_KEYS: 's3cret',
    GENGATE_X_API_KEY: 's3cret',
    GENGATE_MODELS: 'a=x:it`s #1',
    GENGATE_SPARE_API_KEY: 's3cret',
  },
  file: { path: '.env', text: 'GENGATE_PORT=8011\nGENGATE_X_MODEL="it\'s"\n' },
  flags: { upstreams: ['x=http://box:1'] },
  readFile: () => null,
})
if (!loaded.ok) throw new Error(JSON.stringify(loaded.issues))
const { config } = loaded

t.test('printConfig() shows name, value and source, and no secret', async (t) => {
  const lines = printConfig(config)
  for (const line of [
    'GENGATE_HOST=127.0.0.1  # default',
    'GENGATE_PORT=8010  # env; the env file says otherwise',
    'GENGATE_UPSTREAMS=x  # flag',
    "GENGATE_MODELS='a=x:it`s #1'  # env",
    'GENGATE_API_KEYS=(set)  # env',
    'GENGATE_X_URL=http://box:1  # flag',
    "GENGATE_X_MODEL=`it's`  # file",
    'GENGATE_X_API_KEY=(set)  # env',
    'GENGATE_SPARE_API_KEY=(set)  # env; no effect: this upstream is not listed',
  ]) {
    t.ok(lines.includes(line), line)
  }
  t.notMatch(lines.join('\n'), /s3cret/)
})

t.test('configToJson() is plain data without a secret', async (t) => {
  const json = configToJson(config)
  const plain = JSON.parse(JSON.stringify(json))
  t.same(plain, json)
  t.notMatch(JSON.stringify(json), /s3cret/)
  t.match(json, {
    env_file: '.env',
    upstreams: [{ name: 'x', url: 'http://box:1', auth_env_keys: ['GENGATE_X_API_KEY'] }],
  })
  const setting = (wanted: string) =>
    plain.settings.find(({ name }: { name: string }) => name === wanted)
  t.match(setting('GENGATE_PORT'), { shadowed: true, unused: false })
  t.match(setting('GENGATE_SPARE_API_KEY'), { unused: true })
})

t.test('printIssue() makes one line of harmless characters', async (t) => {
  const message = 'is not a setting.'
  t.equal(printIssue({ name: 'GENGATE_X', message }), 'GENGATE_X is not a setting.')
  const wild = printIssue({ name: `GENGATE_\u001b[2J\n${'x'.repeat(10_000)}`, message })
  t.ok(wild.endsWith(`… ${message}`) && wild.length < 200)
  t.notMatch(wild, /\p{Cc}/u)
})

function configOf(env: Env, files: Readonly<Record<string, string>> = {}): Config {
  const readFile = (path: string) => files[path] ?? null
  const loaded = loadConfig({ env, file: null, flags: { upstreams: [] }, readFile })
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.issues))
  return loaded.config
}

t.test('diffConfig() names what changed and what needs a restart', async (t) => {
  const was = configOf({ GENGATE_UPSTREAMS: 'ollama,mlx', GENGATE_HOLD_MS: '1' })
  t.same(diffConfig(was, was), { changed: [], needsRestart: [] })
  const now = configOf({ GENGATE_UPSTREAMS: 'mlx', GENGATE_PORT: '8010', GENGATE_HOST: '::1' })
  const { changed, needsRestart } = diffConfig(was, now)
  t.same(needsRestart, ['GENGATE_HOST', 'GENGATE_PORT'])
  t.same(
    changed.filter((name) => !name.startsWith('GENGATE_OLLAMA')),
    ['GENGATE_HOLD_MS', 'GENGATE_HOST', 'GENGATE_PORT', 'GENGATE_UPSTREAMS'],
  )
  t.ok(changed.includes('GENGATE_OLLAMA_URL'))
})

t.test('diffConfig() does not care where a value comes from', async (t) => {
  t.same(diffConfig(configOf({}), configOf({ GENGATE_PORT: '8000' })).changed, [])
})

t.test('diffConfig() sees a key behind (set), also in a file of the same name', async (t) => {
  const env = { GENGATE_API_KEYS: 'a', GENGATE_OLLAMA_API_KEY: 'a', GENGATE_MLX_API_KEY_FILE: '/k' }
  const list = { GENGATE_UPSTREAMS: 'ollama,mlx', ...env }
  const was = configOf(list, { '/k': 'a' })
  const other = configOf({ ...list, GENGATE_API_KEYS: 'b' }, { '/k': 'a' })
  t.same(diffConfig(was, other).changed, ['GENGATE_API_KEYS'])
  const now = configOf({ ...list, GENGATE_OLLAMA_API_KEY: 'b' }, { '/k': 'b' })
  t.same(diffConfig(was, now), {
    changed: ['GENGATE_MLX_API_KEY_FILE', 'GENGATE_OLLAMA_API_KEY'],
    needsRestart: [],
  })
})
