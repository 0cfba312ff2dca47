import t from 'tap'
import { type Config, loadConfig } from '../../src/config/load.ts'
import type { ConfigIssue, Env } from '../../src/config/sources.ts'

// Rows of docs/faults.md that are shown here: upstream-misspelt.

const FILES: Record<string, string> = { '/keys': 'b\nc\na\n', '/empty': '\n', '/bad': 's3 cret' }

function load(env: Env, text: string | null = null, upstreams: readonly string[] = []) {
  const file = text === null ? null : { path: '.env', text }
  return loadConfig({ env, file, flags: { upstreams }, readFile: (path) => FILES[path] ?? null })
}

function configOf(env: Env, text: string | null = null, upstreams: readonly string[] = []): Config {
  const loaded = load(env, text, upstreams)
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.issues))
  return loaded.config
}

function issuesOf(env: Env, text: string | null = null): readonly ConfigIssue[] {
  const loaded = load(env, text)
  return loaded.ok ? [] : loaded.issues
}

const namesOf = (config: Config): string[] => config.upstreams.map(({ spec }) => spec.name)

t.test('loadConfig() of nothing is the gate that everybody starts with', async (t) => {
  const config = configOf({})
  t.match(config, { envFile: '.env', models: null, apiKeys: [], allowedHosts: [], unused: [] })
  t.match(config.health, { detectWithinMs: 4000, intervalMs: 2000, quietIntervalMs: 60_000 })
  t.same(namesOf(config), ['vllm_metal', 'vllm_cpu', 'ollama'])
  t.ok(config.settings.every(({ source }) => source === 'default'))
})

t.test('loadConfig() puts every setting of the gate where it belongs', async (t) => {
  // Rows of the table with a key are taken as they are; these are the others, and one of those.
  const env = {
    GENGATE_UPSTREAMS: 'ollama',
    GENGATE_EMBEDDED: '/m.gguf',
    GENGATE_MODELS: 'a=ollama:m|embedded:x',
    GENGATE_DETECT_WITHIN_MS: '5000',
    GENGATE_PROBE_INTERVAL_MS: '1500',
    GENGATE_PROBE_QUIET_INTERVAL_MS: '70000',
    GENGATE_HOLD_MS: '2100',
    GENGATE_API_KEYS: 'k',
    GENGATE_ALLOWED_HOSTS: 'gate.lan',
    GENGATE_ALLOWED_ORIGINS: 'http://a:1',
  }
  const members = [
    { upstream: 'ollama', model: 'm' },
    { upstream: 'embedded', model: 'x' },
  ]
  t.match(configOf(env), {
    models: [{ public: 'a', members }],
    health: { detectWithinMs: 5000, intervalMs: 1500, quietIntervalMs: 70_000 },
    embedded: { mode: 'path', path: '/m.gguf' },
    holdMs: 2100,
    apiKeys: ['k'],
    allowedHosts: ['gate.lan'],
    allowedOrigins: ['http://a:1'],
  })
})

t.test('loadConfig() knows the source of each value and what is shadowed', async (t) => {
  const env = { GENGATE_PORT: '8010', GENGATE_HOLD_MS: '' }
  const file = 'GENGATE_PORT=8020\nGENGATE_HOLD_MS=1\n'
  const config = configOf(env, file, ['x=http://box:1'])
  t.match(config, { port: 8010, holdMs: 1 })
  const sources = new Map(config.settings.map(({ name, source }) => [name, source]))
  const names = ['PORT', 'HOLD_MS', 'UPSTREAMS', 'X_URL', 'HOST'].map((name) => `GENGATE_${name}`)
  const told = names.map((name) => sources.get(name))
  t.same(told, ['env', 'file', 'flag', 'flag', 'default'])
  t.same(config.shadowed, ['GENGATE_PORT'])
})

t.test('loadConfig() collects issues of every kind in one go', async (t) => {
  const urls = { GENGATE_OLLAMA_URI: 'x', GENGATE_X_URL: 'file:///x' }
  const issues = issuesOf(
    { ...urls, GENGATE_PORT: '70000', LOCAL_LLM_BACKEND: 'y' },
    'GENGATE_HOLD_MS=soon\nGENGATE_MODELS=a=nobody:m\nGENGATE_PORTS',
  )
  const wrong = ['GENGATE_HOLD_MS', 'GENGATE_MODELS', 'GENGATE_PORTS', 'LOCAL_LLM_BACKEND']
  const expected = [...wrong, ...Object.keys(urls), 'GENGATE_PORT'].toSorted()
  t.same(issues.map(({ name }) => name).toSorted(), expected)
  t.match(issues.find(({ name }) => name === 'GENGATE_PORT')?.message, /from 0 to 65535/)
})

t.test('LOCAL_LLM_BACKEND comes first in every group of GENGATE_MODELS, too', async (t) => {
  const groups = 'chat=vllm_cpu:big|ollama:small|vllm_metal:mid; code=vllm_cpu:big'
  const order = (env: Env) =>
    configOf({ GENGATE_MODELS: groups, ...env }).models?.map(({ members }) =>
      members.map(({ upstream }) => upstream),
    )
  t.same(order({}), [['vllm_cpu', 'ollama', 'vllm_metal'], ['vllm_cpu']])
  const first = [['ollama', 'vllm_cpu', 'vllm_metal'], ['vllm_cpu']]
  t.same(order({ LOCAL_LLM_BACKEND: 'ollama' }), first)
})

t.test('LOCAL_LLM_BACKEND moves its upstream to the front and no other', async (t) => {
  t.same(namesOf(configOf({ LOCAL_LLM_BACKEND: 'ollama' })), ['ollama', 'vllm_metal', 'vllm_cpu'])
  t.same(namesOf(configOf({ LOCAL_LLM_BACKEND: 'x' }, null, ['mlx', 'x=http://b:1'])), ['x', 'mlx'])
  const [issue] = issuesOf({ LOCAL_LLM_BACKEND: 'vllm' })
  t.match(issue, { name: 'LOCAL_LLM_BACKEND', message: /vllm_metal, vllm_cpu, ollama, not "vllm"/ })
  const broken = { GENGATE_UPSTREAMS: 'big,B', GENGATE_MODELS: 'a=big:m' }
  const cascade = issuesOf({ LOCAL_LLM_BACKEND: 'big', ...broken })
  t.equal(cascade.map(({ name }) => name).join(), 'GENGATE_UPSTREAMS', 'a broken list is one issue')
})

t.test('GENGATE_EMBEDDED=auto may join only where nothing was chosen', async (t) => {
  t.same(configOf({ GENGATE_PORT: '8010', GENGATE_OLLAMA_MODEL: 'm' }).embedded, { mode: 'auto' })
  const chosen = [
    configOf({ GENGATE_UPSTREAMS: 'ollama' }),
    configOf({}, 'GENGATE_ANY_URL=http://box:1'),
    configOf({}, null, ['ollama']),
    configOf({ GENGATE_EMBEDDED: 'off' }),
  ]
  for (const { embedded } of chosen) t.same(embedded, { mode: 'off' })
  const taken = { GENGATE_EMBEDDED: '/m.gguf', GENGATE_UPSTREAMS: 'embedded=http://box:1' }
  t.match(issuesOf(taken), [{ name: 'GENGATE_EMBEDDED', message: /rename/ }])
})

t.test('settings of an upstream that is not listed are checked, without effect', async (t) => {
  const spare = { GENGATE_SPARE_API_KEY_FILE: '/gone', GENGATE_SPARE_URL: 'http://box:1' }
  t.same(configOf(spare).unused, Object.keys(spare))
  t.match(issuesOf({ GENGATE_SPARE_URL: 'http://u:p@box:1' }), [{ name: 'GENGATE_SPARE_URL' }])
})

t.test('the configuration is frozen through and through', async (t) => {
  const config = configOf({ GENGATE_MODELS: 'a=ollama:m' })
  t.ok(Object.isFrozen(config) && Object.isFrozen(config.upstreams[0]?.spec))
  t.ok(Object.isFrozen(config.models?.[0]?.members) && Object.isFrozen(config.settings[0]))
})

t.test('what gengate run reads is text, whatever it is', async (t) => {
  // Kubernetes sets it so for a Service called vllm.
  const odd = load({ VLLM_PORT: 'tcp://10.0.0.1:80', VLLM_MODEL: 'b', OPENCLAW_VLLM_MODEL: 'a' })
  t.match(odd, { ok: true, config: { run: { port: 'tcp://10.0.0.1:80', model: 'a', host: null } } })
})

t.test('a name that is nearly a known one is refused with the known one', async (t) => {
  const table: [env: Record<string, string>, flags: string[], issue: RegExp][] = [
    [{ GENGATE_UPSTREAMS: 'vlm_cpu' }, [], /^GENGATE_VLM_CPU_URL must .* mean vllm_cpu\?$/],
    [{ GENGATE_UPSTREAMS: 'vllm-cpu' }, [], /^GENGATE_UPSTREAMS holds .* mean vllm_cpu\?$/],
    [{}, ['olama'], /^GENGATE_OLAMA_URL must .* mean ollama\?$/],
    [{ LOCAL_LLM_BACKEND: 'metal' }, [], /^LOCAL_LLM_BACKEND must .* mean vllm_metal\?$/],
    [{ GENGATE_MODELS: 'a=olama:m' }, [], /^GENGATE_MODELS names .* mean ollama\?$/],
    [{ GENGATE_UPSTREAMS: 'banana' }, [], /no default URL\.$/],
  ]
  for (const [env, upstreams, issue] of table) {
    const result = load(env, null, upstreams)
    const said = result.ok ? [] : result.issues.map(({ name, message }) => `${name} ${message}`)
    t.equal(said.length, 1, JSON.stringify([env, upstreams, said]))
    t.match(said[0], issue)
  }
})

t.test('readApiKeys() joins the keys of both settings', async (t) => {
  const both = load({ GENGATE_API_KEYS: 'a,b', GENGATE_API_KEYS_FILE: '/keys' })
  t.match(both, { ok: true, config: { apiKeys: ['a', 'b', 'c'] } })
  t.match(load({}), { ok: true, config: { apiKeys: [] } })
})

t.test('readApiKeys() refuses files without a usable key', async (t) => {
  const cases: [string, RegExp][] = [
    ['/gone', /cannot be read/],
    ['/empty', /no key/],
    ['/bad', /space/],
  ]
  for (const [path, message] of cases) {
    const loaded = load({ GENGATE_API_KEYS_FILE: path, GENGATE_HOST: '0.0.0.0' })
    t.match(loaded, { ok: false, issues: [{ name: 'GENGATE_API_KEYS_FILE', message }] }, path)
    t.equal(loaded.ok ? 0 : loaded.issues.length, 1, 'the open bind is no second issue')
    t.notMatch(JSON.stringify(loaded), /s3 cret/)
  }
})

t.test('refuseOpenBind() wants a key or a promise beyond loopback', async (t) => {
  for (const host of ['0.0.0.0', '::', '192.168.1.5', 'box.lan']) {
    const loaded = load({ GENGATE_HOST: host })
    const message = /GENGATE_API_KEYS.*GENGATE_TRUSTED_BIND=1/
    t.match(loaded, { ok: false, issues: [{ name: 'GENGATE_HOST', message }] }, host)
    const keys = [{ GENGATE_API_KEYS: 'k' }, { GENGATE_API_KEYS_FILE: '/keys' }]
    for (const env of [...keys, { GENGATE_TRUSTED_BIND: '1' }]) {
      t.ok(load({ GENGATE_HOST: host, ...env }).ok, JSON.stringify(env))
    }
    t.equal(load({ GENGATE_HOST: host, GENGATE_TRUSTED_BIND: '0' }).ok, false)
  }
  for (const host of ['127.0.0.1', 'localhost', '::1'])
    t.equal(load({ GENGATE_HOST: host }).ok, true)
})
