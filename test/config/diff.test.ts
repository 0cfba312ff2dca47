import t from 'tap'
import type { Config } from '../../src/config/config.ts'
import { diffConfig } from '../../src/config/diff.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Env } from '../../src/config/sources.ts'

function configOf(env: Env, files: Readonly<Record<string, string>> = {}): Config {
  const loaded = loadConfig({
    env,
    file: null,
    flags: { upstreams: [] },
    readFile: (p) => files[p] ?? null,
  })
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
  t.same(diffConfig(was, configOf({ ...list, GENGATE_API_KEYS: 'b' }, { '/k': 'a' })).changed, [
    'GENGATE_API_KEYS',
  ])
  const now = configOf({ ...list, GENGATE_OLLAMA_API_KEY: 'b' }, { '/k': 'b' })
  t.same(diffConfig(was, now), {
    changed: ['GENGATE_MLX_API_KEY_FILE', 'GENGATE_OLLAMA_API_KEY'],
    needsRestart: [],
  })
})
