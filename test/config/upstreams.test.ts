import t from 'tap'
import { Reading } from '../../src/config/reading.ts'
import { type ConfigIssue, type Env, gather } from '../../src/config/sources.ts'
import { readList, readUpstream } from '../../src/config/upstreams.ts'
import { resultOf } from '../cli/recorded-io.ts'

interface World {
  readonly env?: Env
  readonly file?: string
  readonly flags?: readonly string[]
  /** What `gengate run` starts. */
  readonly first?: { readonly name: string; readonly url: string | null }
  readonly files?: Readonly<Record<string, string>>
}

/** Each as the list names it. */
const listed = (urls: Record<string, string>): string =>
  Object.entries(urls)
    .map(([name, url]) => `${name}=${url}`)
    .join(' ')

function read({ env = {}, file, flags = [], first, files = {} }: World) {
  const reading = new Reading(
    gather(env, file === undefined ? null : { path: '.env', text: file }),
    (path) => files[path] ?? null,
  )
  const upstreams = readList(reading, {
    upstreams: flags,
    ...(first === undefined ? {} : { first }),
  }).flatMap((listed) => readUpstream(reading, listed) ?? [])
  return {
    issues: reading.issues,
    shadowed: [...reading.shadowed],
    urls: Object.fromEntries(upstreams.map(({ spec }) => [spec.name, spec.url])),
    upstreams,
    settings: reading.settings(
      upstreams.map(({ spec }) => spec.name),
      [],
    ),
  }
}

const quiet = (ms: string): number[] =>
  read({
    env: { GENGATE_UPSTREAMS: 'ollama,sglang', GENGATE_PROBE_QUIET_INTERVAL_MS: ms },
  }).upstreams.map(({ spec }) => spec.quietIntervalMs)

const models = (env: Env): (string | null)[] =>
  read({ env: { GENGATE_UPSTREAMS: 'vllm_cpu,vllm_metal,ollama', ...env } }).upstreams.map(
    ({ spec }) => spec.model,
  )

t.test('readList() without a word takes the three defaults', async (t) => {
  t.same(read({}).urls, {
    vllm_metal: 'http://127.0.0.1:8002',
    vllm_cpu: 'http://127.0.0.1:8001',
    ollama: 'http://127.0.0.1:11434',
  })
})

t.test('readList() takes flags instead of GENGATE_UPSTREAMS and names bare URLs', async (t) => {
  const more = ['http://c:8080', 'http://d:11434', 'https://e']
  const flags = ['http://a:11434', 'mlx', 'x=http://b:1', ...more]
  const { urls, shadowed, settings } = read({ flags, file: 'GENGATE_UPSTREAMS=ollama' })
  const first = 'ollama=http://a:11434 mlx=http://127.0.0.1:8080 x=http://b:1'
  const rest = 'llamacpp=http://c:8080 upstream_1=http://d:11434 upstream_2=https://e'
  t.equal(listed(urls), `${first} ${rest}`)
  t.same(shadowed, ['GENGATE_UPSTREAMS'])
  const value = 'ollama,mlx,x,llamacpp,upstream_1,upstream_2'
  const list = settings.find(({ name }) => name === 'GENGATE_UPSTREAMS')
  t.match(list, { value, source: 'flag' })
})

t.test('readList() leaves a name to the upstream that asks for it, also further on', async (t) => {
  const { urls, issues } = read({ flags: ['http://a:11434', 'ollama=http://b:1'] })
  t.same(issues, [])
  t.same(urls, { upstream_1: 'http://a:11434', ollama: 'http://b:1' })
})

t.test('readList() refuses a name that stands there twice', async (t) => {
  const byEnv = read({ env: { GENGATE_UPSTREAMS: 'ollama,ollama=http://box:1' } })
  t.match(byEnv.issues, [{ name: 'GENGATE_UPSTREAMS', message: /"ollama" twice/ }])
  const byFlag = read({ flags: ['x=http://a:1', 'x=http://b:1', 'nonsense!'] })
  t.match(byFlag.issues, [
    { name: '--upstream', message: /cannot be a name/ },
    { name: '--upstream', message: /twice/ },
  ])
})

t.test('a URL in the list and _URL are one setting: the higher source wins', async (t) => {
  const list = 'GENGATE_UPSTREAMS=x=http://file:1'
  const own = 'GENGATE_X_URL=http://file:2'
  const env = { GENGATE_X_URL: 'http://env:1' }
  const flags = ['x=http://flag:1']
  const both = `${list}\nGENGATE_X_URL=http://file:1/v1/`
  const listInEnv = { GENGATE_UPSTREAMS: 'x=http://env:1' }
  const cases: [string, World, string, string[]][] = [
    ['env over list in file', { file: list, env }, 'http://env:1', ['GENGATE_UPSTREAMS']],
    ['list in env over file', { file: own, env: listInEnv }, 'http://env:1', ['GENGATE_X_URL']],
    ['flag over env', { flags, env }, 'http://flag:1', []],
    ['flag over file', { flags, file: own }, 'http://flag:1', ['GENGATE_X_URL']],
    ['the same said twice', { file: both }, 'http://file:1', []],
    ['only _URL', { flags: ['x'], file: own }, 'http://file:2', []],
  ]
  for (const [what, world, url, shadowed] of cases) {
    const found = read(world)
    t.same(found.issues, [], what)
    t.same(found.urls, { x: url }, what)
    t.same(found.shadowed, shadowed, what)
    t.match(
      found.settings.find(({ name }) => name === 'GENGATE_X_URL'),
      { value: url },
      what,
    )
  }
  const clash = read({ file: `${list}\n${own}` })
  t.match(clash.issues, [{ name: 'GENGATE_X_URL', message: /differs.*Keep one/ }])
})

t.test('an upstream without any URL says which variable to set', async (t) => {
  const { issues, urls } = read({ env: { GENGATE_UPSTREAMS: 'big,ollama' } })
  t.match(issues, [{ name: 'GENGATE_BIG_URL', message: /must be set/ }])
  t.same(Object.keys(urls), ['ollama'])
  t.same(read({ env: { GENGATE_UPSTREAMS: 'big', GENGATE_BIG_ENGINE: 'ollama' } }).urls, {
    big: 'http://127.0.0.1:11434',
  })
})

t.test('every field of an upstream reaches its spec', async (t) => {
  const { upstreams, issues } = read({
    env: {
      GENGATE_X_GGUF: '/models/x.gguf',
      GENGATE_UPSTREAMS: 'x',
      GENGATE_X_URL: 'http://box:1/base/v1',
      GENGATE_X_ENGINE: 'sglang',
      GENGATE_X_MODEL: 'a/b:c',
      GENGATE_X_ADMIN: 'draining',
      GENGATE_X_PROBE: 'passive',
      GENGATE_X_COLD: 'never',
      GENGATE_X_SWAPS: 'yes',
      GENGATE_X_STREAM_END: 'done',
      GENGATE_X_MAX_CONCURRENCY: '3',
      GENGATE_X_API_KEY: 'key',
      GENGATE_PROBE_QUIET_INTERVAL_MS: '5000',
    },
  })
  t.same(issues, [])
  t.same(upstreams, [
    {
      spec: {
        name: 'x',
        engine: 'sglang',
        url: 'http://box:1/base',
        model: 'a/b:c',
        intent: 'draining',
        probe: 'passive',
        cold: 'never',
        swaps: 'yes',
        streamEnd: 'done',
        maxConcurrency: 3,
        quietIntervalMs: 5000,
      },
      apiKey: 'key',
      apiKeyNames: ['GENGATE_X_API_KEY'],
      gguf: '/models/x.gguf',
      run: null,
      idleStopMs: null,
    },
  ])
})

t.test('quietIntervalMs is the larger of the setting and what the engine needs', async (t) => {
  const [ollama, sglang] = quiet('1000')
  t.equal(sglang, 1000)
  t.ok((ollama ?? 0) > 300_000, 'longer than the keep-alive of an Ollama')
  t.same(quiet('86400000'), [86_400_000, 86_400_000])
})

t.test('the model of vllm_… falls back to the names of the older world', async (t) => {
  t.same(models({}), [null, null, null])
  t.same(models({ VLLM_MODEL: 'v' }), ['v', 'v', null])
  t.same(models({ VLLM_MODEL: 'v', OPENCLAW_VLLM_MODEL: 'o' }), ['o', 'o', null])
  t.same(models({ OPENCLAW_VLLM_MODEL: 'o', GENGATE_VLLM_CPU_MODEL: 'own' }), ['own', 'o', null])
})

t.test('a key comes from its variable or its file, and is never repeated', async (t) => {
  const world = { files: { '/k': 's3cret\n', '/bad': 's3cret\nmore' } }
  const keyOf = (env: Env, file?: string) =>
    read({ ...world, flags: ['x=http://box:1'], env, ...(file === undefined ? {} : { file }) })
  const good: [env: Env, file: string | undefined, apiKey: string | null, names: string[]][] = [
    [{ GENGATE_X_API_KEY_FILE: '/k' }, undefined, 's3cret', ['GENGATE_X_API_KEY_FILE']],
    [{ GENGATE_X_API_KEY: 'e' }, 'GENGATE_X_API_KEY_FILE=/k', 'e', ['GENGATE_X_API_KEY']],
    [{ GENGATE_X_API_KEY_FILE: '/k' }, 'GENGATE_X_API_KEY=f', 's3cret', ['GENGATE_X_API_KEY_FILE']],
    [{}, undefined, null, []],
  ]
  for (const [env, file, apiKey, apiKeyNames] of good) {
    t.match(keyOf(env, file).upstreams, [{ apiKey, apiKeyNames }])
  }
  const bad: [Env, RegExp][] = [
    [{ GENGATE_X_API_KEY_FILE: '/gone' }, /cannot be read/],
    [{ GENGATE_X_API_KEY_FILE: '/bad' }, /line break/],
    [{ GENGATE_X_API_KEY: 's3cret\r\n' }, /line break/],
    [{ GENGATE_X_API_KEY: 'a', GENGATE_X_API_KEY_FILE: '/k' }, /Keep one/],
  ]
  for (const [env, message] of bad) {
    const { issues } = keyOf(env)
    t.equal(issues.length, 1)
    t.match(issues, [{ message }])
    t.notMatch(JSON.stringify(issues), /s3cret/)
  }
})

t.test('readList() puts the upstream that is started first, or adds it', async (t) => {
  const [ollama, local] = ['ollama=http://127.0.0.1:11434', 'http://127.0.0.1:7']
  const three = `${ollama} vllm_metal=http://127.0.0.1:8002 vllm_cpu=http://127.0.0.1:8001`
  const withX = { GENGATE_UPSTREAMS: 'ollama,x=http://box:1' }
  const own = { GENGATE_UPSTREAMS: 'vllm_cpu', GENGATE_VLLM_CPU_URL: 'http://box:1' }
  const lines: [name: string, url: string | null, env: Env, urls: string][] = [
    ['ollama', null, {}, three],
    ['llamacpp', null, { GENGATE_UPSTREAMS: 'ollama' }, `llamacpp=http://127.0.0.1:8080 ${ollama}`],
    ['x', null, withX, `x=http://box:1 ${ollama}`],
    ['x', local, withX, `x=${local} ${ollama}`],
    ['vllm_cpu', local, own, `vllm_cpu=${local}`],
  ]
  for (const [name, url, env, urls] of lines) {
    const found = read({ env, first: { name, url } })
    t.equal(listed(found.urls), urls, JSON.stringify(env))
    t.same(found.issues, [])
  }
})

function issuesOf(env: Env, upstreams: readonly string[] = []): readonly ConfigIssue[] {
  const loaded = resultOf(env, upstreams)
  return loaded.ok ? [] : loaded.issues
}

t.test('refuseOwnListener() prints both ways out of the clash on port 8000', async (t) => {
  for (const host of ['127.0.0.1', 'localhost', '[::1]', '0.0.0.0']) {
    const [issue] = issuesOf({ GENGATE_VLLM_CPU_URL: `http://${host}:8000/v1` })
    t.equal(issue?.name, 'GENGATE_VLLM_CPU_URL', host)
    t.match(issue?.message, /vLLM's default port is 8000 too/)
    const move = 'engine to port 8001 and set GENGATE_VLLM_CPU_URL=http://127.0.0.1:8001'
    t.match(issue?.message, move)
    t.match(issue?.message, /GENGATE_PORT=8010/)
  }
})

t.test('refuseOwnListener() takes the way out that it named', async (t) => {
  const url = 'http://127.0.0.1:8000'
  t.same(issuesOf({ GENGATE_VLLM_CPU_URL: url, GENGATE_PORT: '8010' }), [])
  t.same(issuesOf({ GENGATE_VLLM_CPU_URL: 'http://127.0.0.1:8001' }), [])
  t.match(issuesOf({}, ['http://127.0.0.1:8000']), [{ name: 'GENGATE_UPSTREAM_1_URL' }])
})

t.test('refuseOwnListener() does not suggest the port that is taken', async (t) => {
  const [issue] = issuesOf({ GENGATE_PORT: '8010' }, ['x=http://127.0.0.1:8010'])
  t.match(issue?.message, /GENGATE_PORT=8020/)
  t.notMatch(issue?.message, /vLLM/)
})

t.test('refuseOwnListener() is silent where the port itself was refused', async (t) => {
  const issues = issuesOf({ GENGATE_PORT: 'x', GENGATE_VLLM_CPU_URL: 'http://127.0.0.1:8000' })
  t.same(
    issues.map(({ name }) => name),
    ['GENGATE_PORT'],
  )
})

t.test('refuseTwins() finds a URL that was forgotten', async (t) => {
  t.match(issuesOf({ GENGATE_UPSTREAMS: 'vllm_cpu,vllm_big' }), [
    { name: 'GENGATE_VLLM_BIG_URL', message: /vllm_cpu already/ },
  ])
  t.same(issuesOf({ GENGATE_UPSTREAMS: 'llamacpp,mlx' }), [], 'only one of them can run')
  t.same(issuesOf({ GENGATE_UPSTREAMS: 'ollama,ollama_big', GENGATE_OLLAMA_BIG_MODEL: 'b' }), [])
  t.same(issuesOf({}, ['a=http://box:1', 'b=http://box:1']), [], 'said by hand')
})
