import t from 'tap'
import { type Config, loadConfig } from '../../src/config/load.ts'
import type { ConfigIssue, Env } from '../../src/config/sources.ts'

// Rows of docs/faults.md that are shown here: upstream-misspelt.

function load(env: Env, text: string | null = null, upstreams: readonly string[] = []) {
  const file = text === null ? null : { path: '.env', text }
  return loadConfig({ env, file, flags: { upstreams }, readFile: () => null })
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
  t.match(config, {
    host: '127.0.0.1',
    port: 8000,
    envFile: '.env',
    models: null,
    routing: 'priority',
    health: { detectWithinMs: 4000, intervalMs: 2000, quietIntervalMs: 60_000 },
    probeMaxTokens: 1,
    embedded: { mode: 'auto' },
    connectTimeoutMs: 1000,
    commitDeadlineMs: 8000,
    holdMs: 2000,
    bodyMaxBytes: 67_108_864,
    connectionsMax: 5_000,
    drainMs: 30_000,
    apiKeys: [],
    trustedBind: false,
    allowedHosts: [],
    allowedOrigins: [],
    logLevel: 'info',
    shadowed: [],
    unused: [],
  })
  t.same(namesOf(config), ['vllm_metal', 'vllm_cpu', 'ollama'])
  t.ok(config.settings.every(({ source }) => source === 'default'))
})

t.test('loadConfig() puts every setting of the gate where it belongs', async (t) => {
  const env = {
    GENGATE_HOST: '::',
    GENGATE_PORT: '8010',
    GENGATE_UPSTREAMS: 'ollama',
    GENGATE_POLICY: 'least_busy',
    GENGATE_EMBEDDED: '/m.gguf',
    GENGATE_MODELS: 'a=ollama:m|embedded:x',
    GENGATE_DETECT_WITHIN_MS: '5000',
    GENGATE_PROBE_INTERVAL_MS: '1500',
    GENGATE_PROBE_QUIET_INTERVAL_MS: '70000',
    GENGATE_PROBE_MAX_TOKENS: '2',
    GENGATE_CONNECT_TIMEOUT_MS: '1100',
    GENGATE_COMMIT_DEADLINE_MS: '8100',
    GENGATE_HOLD_MS: '2100',
    GENGATE_BODY_MAX_BYTES: '1048576',
    GENGATE_CONNECTIONS_MAX: '51',
    GENGATE_DRAIN_MS: '30100',
    GENGATE_API_KEYS: 'k',
    GENGATE_TRUSTED_BIND: 'true',
    GENGATE_ALLOWED_HOSTS: 'gate.lan',
    GENGATE_ALLOWED_ORIGINS: 'http://a:1',
    GENGATE_LOG_LEVEL: 'warn',
  }
  t.match(configOf(env), {
    host: '::',
    port: 8010,
    models: [
      {
        public: 'a',
        members: [
          { upstream: 'ollama', model: 'm' },
          { upstream: 'embedded', model: 'x' },
        ],
      },
    ],
    routing: 'least_busy',
    health: { detectWithinMs: 5000, intervalMs: 1500, quietIntervalMs: 70_000 },
    probeMaxTokens: 2,
    embedded: { mode: 'path', path: '/m.gguf' },
    connectTimeoutMs: 1100,
    commitDeadlineMs: 8100,
    holdMs: 2100,
    bodyMaxBytes: 1_048_576,
    connectionsMax: 51,
    drainMs: 30_100,
    apiKeys: ['k'],
    trustedBind: true,
    allowedHosts: ['gate.lan'],
    allowedOrigins: ['http://a:1'],
    logLevel: 'warn',
  })
})

t.test(
  'loadConfig() knows the source of each value and what the environment shadows',
  async (t) => {
    const config = configOf(
      { GENGATE_PORT: '8010', GENGATE_HOLD_MS: '' },
      'GENGATE_PORT=8020\nGENGATE_HOLD_MS=1\n',
      ['x=http://box:1'],
    )
    const sourceOf = (name: string) => config.settings.find((one) => one.name === name)?.source
    t.equal(config.port, 8010)
    t.equal(config.holdMs, 1)
    t.same(
      ['GENGATE_PORT', 'GENGATE_HOLD_MS', 'GENGATE_UPSTREAMS', 'GENGATE_X_URL', 'GENGATE_HOST'].map(
        sourceOf,
      ),
      ['env', 'file', 'flag', 'flag', 'default'],
    )
    t.same(config.shadowed, ['GENGATE_PORT'])
  },
)

t.test('loadConfig() collects issues of every kind in one go', async (t) => {
  const issues = issuesOf(
    {
      GENGATE_PORT: '70000',
      GENGATE_OLLAMA_URI: 'x',
      GENGATE_X_URL: 'file:///x',
      LOCAL_LLM_BACKEND: 'y',
    },
    'GENGATE_HOLD_MS=soon\nGENGATE_MODELS=a=nobody:m\nGENGATE_PORTS',
  )
  t.same(issues.map(({ name }) => name).toSorted(), [
    'GENGATE_HOLD_MS',
    'GENGATE_MODELS',
    'GENGATE_OLLAMA_URI',
    'GENGATE_PORT',
    'GENGATE_PORTS',
    'GENGATE_X_URL',
    'LOCAL_LLM_BACKEND',
  ])
  t.match(issues.find(({ name }) => name === 'GENGATE_PORT')?.message, /from 0 to 65535/)
})

t.test('LOCAL_LLM_BACKEND comes first in every group of GENGATE_MODELS, too', async (t) => {
  const groups = 'chat=vllm_cpu:big|ollama:small|vllm_metal:mid; code=vllm_cpu:big'
  const order = (env: Env) =>
    configOf({ GENGATE_MODELS: groups, ...env }).models?.map(({ members }) =>
      members.map(({ upstream }) => upstream),
    )
  t.same(order({}), [['vllm_cpu', 'ollama', 'vllm_metal'], ['vllm_cpu']])
  t.same(order({ LOCAL_LLM_BACKEND: 'ollama' }), [
    ['ollama', 'vllm_cpu', 'vllm_metal'],
    ['vllm_cpu'],
  ])
})

t.test('LOCAL_LLM_BACKEND moves its upstream to the front and no other', async (t) => {
  t.same(namesOf(configOf({ LOCAL_LLM_BACKEND: 'ollama' })), ['ollama', 'vllm_metal', 'vllm_cpu'])
  t.same(namesOf(configOf({ LOCAL_LLM_BACKEND: 'x' }, null, ['mlx', 'x=http://b:1'])), ['x', 'mlx'])
  const [issue] = issuesOf({ LOCAL_LLM_BACKEND: 'vllm' })
  t.match(issue, { name: 'LOCAL_LLM_BACKEND', message: /vllm_metal, vllm_cpu, ollama, not "vllm"/ })
  const cascade = issuesOf({
    LOCAL_LLM_BACKEND: 'big',
    GENGATE_UPSTREAMS: 'big,B',
    GENGATE_MODELS: 'a=big:m',
  })
  t.same(
    cascade.map(({ name }) => name),
    ['GENGATE_UPSTREAMS'],
    'a broken list is one issue',
  )
})

t.test('GENGATE_EMBEDDED=auto may join only where nothing was chosen', async (t) => {
  t.same(configOf({ GENGATE_PORT: '8010', GENGATE_OLLAMA_MODEL: 'm' }).embedded, { mode: 'auto' })
  t.same(configOf({ GENGATE_UPSTREAMS: 'ollama' }).embedded, { mode: 'off' })
  t.same(configOf({}, 'GENGATE_ANY_URL=http://box:1').embedded, { mode: 'off' })
  t.same(configOf({}, null, ['ollama']).embedded, { mode: 'off' })
  t.same(configOf({ GENGATE_EMBEDDED: 'off' }).embedded, { mode: 'off' })
  const taken = { GENGATE_EMBEDDED: '/m.gguf', GENGATE_UPSTREAMS: 'embedded=http://box:1' }
  t.match(issuesOf(taken), [{ name: 'GENGATE_EMBEDDED', message: /rename/ }])
})

t.test(
  'settings of an upstream that is not listed are legal, checked, and without effect',
  async (t) => {
    const config = configOf({
      GENGATE_SPARE_URL: 'http://box:1',
      GENGATE_SPARE_API_KEY_FILE: '/gone',
    })
    t.same(config.unused, ['GENGATE_SPARE_API_KEY_FILE', 'GENGATE_SPARE_URL'])
    t.match(issuesOf({ GENGATE_SPARE_URL: 'http://u:p@box:1' }), [{ name: 'GENGATE_SPARE_URL' }])
  },
)

t.test('the configuration is frozen through and through', async (t) => {
  const config = configOf({ GENGATE_MODELS: 'a=ollama:m' })
  t.ok(Object.isFrozen(config) && Object.isFrozen(config.upstreams[0]?.spec))
  t.ok(Object.isFrozen(config.models?.[0]?.members) && Object.isFrozen(config.settings[0]))
})

t.test(
  'what gengate run reads is text, whatever it is, and has the promised defaults',
  async (t) => {
    const defaults = load({})
    t.match(defaults, {
      ok: true,
      config: {
        run: {
          model: null,
          host: null,
          port: null,
          venv: null,
          python: null,
          maxModelLen: '1024',
          dtype: null,
          kvCacheSpace: '1',
          ompThreads: '4',
        },
      },
    })
    // Kubernetes sets it so for a Service called vllm.
    const odd = load({ VLLM_PORT: 'tcp://10.0.0.1:80', VLLM_MODEL: 'b', OPENCLAW_VLLM_MODEL: 'a' })
    t.match(odd, { ok: true, config: { run: { port: 'tcp://10.0.0.1:80', model: 'a' } } })
  },
)

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
    const result = loadConfig({ env, file: null, flags: { upstreams }, readFile: () => null })
    const said = result.ok ? [] : result.issues.map(({ name, message }) => `${name} ${message}`)
    t.equal(said.length, 1, JSON.stringify([env, upstreams, said]))
    t.match(said[0], issue)
  }
})

const FILES: Readonly<Record<string, string>> = {
  '/keys': 'b\nc\na\n',
  '/empty': '\n',
  '/bad': 's3 cret',
}

function loadWith(env: Env) {
  return loadConfig({
    env,
    file: null,
    flags: { upstreams: [] },
    readFile: (path) => FILES[path] ?? null,
  })
}

t.test('readApiKeys() joins the keys of both settings', async (t) => {
  const both = loadWith({ GENGATE_API_KEYS: 'a,b', GENGATE_API_KEYS_FILE: '/keys' })
  t.match(both, { ok: true, config: { apiKeys: ['a', 'b', 'c'] } })
  t.match(loadWith({}), { ok: true, config: { apiKeys: [] } })
})

t.test('readApiKeys() refuses files without a usable key', async (t) => {
  const cases: [string, RegExp][] = [
    ['/gone', /cannot be read/],
    ['/empty', /no key/],
    ['/bad', /space/],
  ]
  for (const [path, message] of cases) {
    const loaded = loadWith({ GENGATE_API_KEYS_FILE: path, GENGATE_HOST: '0.0.0.0' })
    t.match(loaded, { ok: false, issues: [{ name: 'GENGATE_API_KEYS_FILE', message }] }, path)
    t.equal(loaded.ok ? 0 : loaded.issues.length, 1, 'the open bind is no second issue')
    t.notMatch(JSON.stringify(loaded), /s3 cret/)
  }
})

t.test('refuseOpenBind() wants a key or a promise beyond loopback', async (t) => {
  for (const host of ['0.0.0.0', '::', '192.168.1.5', 'box.lan']) {
    const loaded = loadWith({ GENGATE_HOST: host })
    t.match(loaded, { ok: false, issues: [{ name: 'GENGATE_HOST' }] }, host)
    t.match(loaded.ok ? '' : loaded.issues[0]?.message, /GENGATE_API_KEYS.*GENGATE_TRUSTED_BIND=1/)
    t.equal(loadWith({ GENGATE_HOST: host, GENGATE_API_KEYS: 'k' }).ok, true)
    t.equal(loadWith({ GENGATE_HOST: host, GENGATE_API_KEYS_FILE: '/keys' }).ok, true)
    t.equal(loadWith({ GENGATE_HOST: host, GENGATE_TRUSTED_BIND: '1' }).ok, true)
    t.equal(loadWith({ GENGATE_HOST: host, GENGATE_TRUSTED_BIND: '0' }).ok, false)
  }
  for (const host of ['127.0.0.1', 'localhost', '::1'])
    t.equal(loadWith({ GENGATE_HOST: host }).ok, true)
})
