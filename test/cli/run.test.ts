// Goal: each command line, from its words to its exit code, with everything real but the process.
import t from 'tap'
import { load } from '../../src/cli/load.ts'
import { run } from '../../src/cli/run.ts'
import { type RecordedIo, recordedIo } from './recorded-io.ts'
import { jsonServer, type Reply } from './json-server.ts'

const answer: Reply = [
  200,
  { choices: [{ finish_reason: 'length' }], usage: { completion_tokens: 1 } },
]
const engine = {
  'GET /v1/models': [200, { data: [{ id: 'tiny' }] }],
  'POST /v1/chat/completions': answer,
} satisfies Record<string, Reply>

/** Runs one command line; `files` are all the files that there are. */
async function gengate(
  line: string,
  env: Record<string, string> = {},
  files: Record<string, string> = {},
) {
  const io: RecordedIo = { ...recordedIo(env), readFile: (path) => files[path] ?? null }
  const code = await run(line === '' ? [] : line.split(' '), {
    io,
    version: '1.2.3',
    nodeVersion: '26.10.0',
    execPath: '/usr/bin/node',
    createGate: () => Promise.reject(new Error('no gate is built here')),
    onSignal: () => undefined,
    exit: () => undefined,
  })
  return { code, out: io.stdout.join('\n'), err: io.stderr.join('\n') }
}

t.test('probe asks what clients use, then the own port; --url and names go before', async (t) => {
  const { url, port, seen } = await jsonServer(t, engine)
  const dead = 'http://127.0.0.1:1/v1'
  const table: [line: string, env: Record<string, string>, code: number][] = [
    ['probe', { SYSTEM2_VLLM_BASE_URL: `${url}/v1`, OPENCLAW_VLLM_BASE_URL: dead }, 0],
    ['probe', { OPENCLAW_VLLM_BASE_URL: `${url}/v1` }, 0],
    ['probe', { GENGATE_PORT: String(port) }, 0],
    ['probe', { SYSTEM2_VLLM_BASE_URL: dead, GENGATE_PORT: String(port) }, 1],
    [`probe --url ${url}`, { SYSTEM2_VLLM_BASE_URL: dead, GENGATE_PORT: 'x' }, 0],
    ['probe vllm_cpu', { SYSTEM2_VLLM_BASE_URL: dead, GENGATE_VLLM_CPU_URL: url }, 0],
    ['probe vllm_cpu', { GENGATE_PORT: 'x' }, 2],
    [`probe vllm_cpu --url ${url}`, {}, 2],
    ['probe', { SYSTEM2_VLLM_BASE_URL: 'nonsense' }, 2],
  ]
  for (const [line, env, code] of table) {
    const before = seen.length
    t.equal((await gengate(line, env)).code, code, `${line} ${JSON.stringify(env)}`)
    t.equal(seen.length > before, code === 0, 'only what passes was asked')
  }
})

t.test('settings come from the env file that --envfile or the environment names', async (t) => {
  const { url } = await jsonServer(t, engine)
  const files = { '.env': 'GENGATE_PORT=1', 'my.env': `GENGATE_VLLM_CPU_URL=${url}\n` }
  t.match(await gengate('config check', {}, files), { code: 0, out: /on port 1$/ })
  t.match(await gengate('probe vllm_cpu --envfile my.env', {}, files), { code: 0 })
  t.match(await gengate('probe vllm_cpu', { GENGATE_ENV_FILE: 'my.env' }, files), { code: 0 })
  t.match(await gengate('config check --envfile none.env', {}, files), {
    code: 2,
    err: /GENGATE_ENV_FILE names "none\.env", which cannot be read/,
  })
})

t.test('an env file that is there and cannot be read is an error, whoever named it', async (t) => {
  const io = { ...recordedIo(), exists: (path: string) => path === '.env' }
  t.match(load(io, {}).result, {
    ok: false,
    issues: [{ name: 'GENGATE_ENV_FILE', message: 'names ".env", which cannot be read.' }],
  })
  t.ok(load({ ...io, exists: () => false }, {}).result.ok, 'it need not be there')
})

t.test('config check and print show everything but secrets', async (t) => {
  const env = { GENGATE_VLLM_CPU_API_KEY: 'very-secret', GENGATE_HOLD_MS: '1' }
  const files = { '.env': 'GENGATE_HOLD_MS=2\n' }
  t.match(await gengate('config check', env, files), { code: 0, err: /GENGATE_HOLD_MS in \.env/ })
  t.match(await gengate('config check --json', env), { code: 0, out: /"ok": true/ })
  const printed = await gengate('config print', env, files)
  t.match(printed, { code: 0, out: /^GENGATE_HOLD_MS=1 {2}# env/m })
  const json = await gengate('config print --json', env, files)
  t.match(JSON.parse(json.out), { env_file: '.env' })
  t.notMatch(printed.out + json.out, 'very-secret')
  const wrong = { GENGATE_PORT: 'x', GENGATE_HOLD: '1' }
  for (const line of ['config check', 'config print']) {
    const { code, out, err } = await gengate(line, wrong)
    t.same([code, out], [2, ''])
    t.match(err, /2 settings are not valid:[^]*GENGATE_PORT[^]*GENGATE_HOLD/)
  }
  const issues = await gengate('config check --json', wrong)
  t.equal(issues.code, 2)
  t.match(JSON.parse(issues.out), { ok: false, issues: [{ name: String }, { name: String }] })
})

t.test('doctor fails on what must be mended, and says what', async (t) => {
  const { url } = await jsonServer(t, engine)
  const { port } = await jsonServer(t, {})
  const healthy = { GENGATE_UPSTREAMS: 'vllm_cpu', GENGATE_VLLM_CPU_URL: url, GENGATE_PORT: '0' }
  const well = await gengate('doctor', healthy)
  t.equal(well.code, 0, well.out)
  t.match(well.out, /^ok {4}vllm_cpu at .* lists 1 model$/m)
  const taken = await gengate('doctor', { ...healthy, GENGATE_PORT: String(port) })
  t.equal(taken.code, 1)
  t.match(taken.out, /^fail {2}port \d+ on 127\.0\.0\.1 is held by /m)
  const dead = { ...healthy, GENGATE_VLLM_CPU_URL: 'http://127.0.0.1:1' }
  t.match(await gengate('doctor', dead), { code: 1, out: /^fail {2}no upstream answers/m })
  const invalid = await gengate('doctor --json', { GENGATE_HOLD_MS: 'x' })
  t.equal(invalid.code, 1)
  t.match(JSON.parse(invalid.out).checks.at(-1), { level: 'fail', what: /GENGATE_HOLD_MS/ })
})

/** An upstream as a gate shows it. */
const row = (name: string, more: object) => ({ name, url: 'http://127.0.0.1:1', ...more })

t.test('doctor takes from a running gate what that gate knows', async (t) => {
  const asleep = row('mine', {
    state: 'ejected',
    process: { state: 'stopped', start_on_demand: true },
  })
  const wedged = row('other', { state: 'ejected', reason: 'wedged', hint: 'Restart the engine.' })
  const table: [upstreams: object[], code: number, lines: RegExp[]][] = [
    [
      [asleep, wedged],
      0,
      [/^ok .*mine at .* does not run yet; .*on demand$/m, /^ok .*1 of 2 upstreams$/m],
    ],
    [
      [wedged],
      1,
      [/^warn {2}other at .*\(wedged\) — Restart the engine\.$/m, /^fail .*the gate has/m],
    ],
    [
      [row('mine', { state: 'eligible', eligible: true, reason: 'ok' })],
      0,
      [/^ok .*eligible \(ok\)$/m],
    ],
    [[row('mine', { intent: 'disabled' }), asleep], 0, [/^ok .* is disabled$/m]],
  ]
  const key = 'gate-key-of-some-length'
  for (const [upstreams, code, lines] of table) {
    const { port, seen } = await jsonServer(t, {
      'GET /gate/status': [200, { version: '9.8.7', uptime_s: 1, upstreams }],
    })
    const env = { GENGATE_PORT: String(port), GENGATE_API_KEYS: key }
    const { code: ended, out } = await gengate('doctor', env)
    t.equal(ended, code, out)
    for (const line of lines) t.match(out, line)
    t.match(
      out,
      new RegExp(`^ok {4}this gate runs at http://127\\.0\\.0\\.1:${port}: gengate 9`, 'm'),
    )
    t.notMatch(out, /another gengate|ollama|gate-key/, 'nothing is guessed')
    t.equal(seen[0]?.authorization, `Bearer ${key}`)
  }
  const locked: Reply = [401, { error: { code: 'invalid_api_key' } }]
  const { port } = await jsonServer(t, { 'GET /gate/status': locked })
  t.match((await gengate('doctor', { GENGATE_PORT: String(port) })).out, /^warn .*another API key/m)
})

t.test('doctor leaves an engine that sleeps to the gate that starts it', async (t) => {
  const env = {
    GENGATE_PORT: '0',
    GENGATE_UPSTREAMS: 'ollama',
    GENGATE_OLLAMA_URL: 'http://127.0.0.1:1',
    GENGATE_OLLAMA_RUN: 'ollama serve',
  }
  const { code, out } = await gengate('doctor', env)
  t.equal(code, 0, out)
  t.match(out, /^ok .*the gate starts it \(GENGATE_OLLAMA_RUN\)$/m)
})

t.test('serve ends with 2 on wrong settings, status and diag as well', async (t) => {
  for (const line of ['', 'serve', 'status', 'diag', 'probe']) {
    const { code, out, err } = await gengate(line, { GENGATE_PORT: 'x' })
    t.same([code, out], [2, ''], line)
    t.match(err, 'GENGATE_PORT')
  }
  const flag = await gengate('serve --upstream nonsense')
  t.equal(flag.code, 2)
  t.match(flag.err, 'upstream nonsense has no default URL')
})

t.test(
  'a wrong setting that says nothing of the address only warns who asks the gate',
  async (t) => {
    const eligible = {
      name: 'vllm_cpu',
      intent: 'enabled',
      eligible: true,
      state: 'eligible',
      reason: 'ok',
      last_generation_at: '2026-01-01T12:00:00.000Z',
    }
    const key = 'gate-key-of-some-length'
    const { port, seen } = await jsonServer(t, {
      ...engine,
      'GET /gate/status': [200, { version: '1', uptime_s: 1, upstreams: [eligible] }],
    })
    const env = { GENGATE_API_KEYS: key, GENGATE_VLLM_CPU_API_KEY: 'very-secret' }
    const files = { '.env': `GENGATE_PORT=${port}\nGENGATE_FOO_BAR=1\nGENGATE_OLLAMA_URL=nonsense` }
    for (const line of ['status', 'status --json', 'explain', 'diag', 'probe']) {
      const { code, out, err } = await gengate(line, env, files)
      t.equal(code, 0, line)
      t.match(
        err,
        /warning: 2 settings are not valid[^]*GENGATE_FOO_BAR[^]*GENGATE_OLLAMA_URL/,
        line,
      )
      t.notMatch(out, 'not valid')
      t.notMatch(out + err, /very-secret|gate-key/)
    }
    t.ok(
      seen.every(({ authorization }) => authorization === `Bearer ${key}`),
      'with the key',
    )
    const { out } = await gengate('diag', env, files)
    t.match(out, '- vllm_cpu: configured=yes enabled=yes eligible=yes')
    t.match(out, 'auth_env_keys=GENGATE_VLLM_CPU_API_KEY')
    t.match(await gengate('wait --timeout 0.1', env, files), {
      code: 1,
      err: /FOO_BAR[^]*not ready/,
    })
    for (const line of ['config check', 'serve', 'probe vllm_cpu']) {
      t.match(await gengate(line, env, files), { code: 2, out: '', err: /GENGATE_FOO_BAR/ })
    }
    for (const wrong of ['GENGATE_PORT', 'GENGATE_API_KEYS_FILE=/nope', 'GENGATE_HOST=a b']) {
      t.match(await gengate('status', {}, { '.env': wrong }), { code: 2, out: '' }, wrong)
    }
    t.match(await gengate('status --envfile nope', env, files), { code: 2, out: '' })
  },
)
