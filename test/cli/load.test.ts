// Goal: which settings a command reads, and what it does with wrong ones.
import t from 'tap'
import { load } from '../../src/cli/load.ts'
import { ENGINE, gateStatus, jsonServer } from './json-server.ts'
import { gengate, recordedIo } from './recorded-io.ts'

// Rows of docs/faults.md that are shown here: env-file-unreadable.

t.test('settings come from the env file that --envfile or the environment names', async (t) => {
  const { url } = await jsonServer(t, ENGINE)
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

t.test('a wrong setting that is not of the address only warns who asks the gate', async (t) => {
  const proven = { eligible: true, state: 'eligible', reason: 'ok', last_generation_at: 'x' }
  const key = 'gate-key-of-some-length'
  const gate = gateStatus({ name: 'vllm_cpu', ...proven })
  const { port, seen } = await jsonServer(t, { ...ENGINE, ...gate })
  const env = { GENGATE_API_KEYS: key, GENGATE_VLLM_CPU_API_KEY: 'very-secret' }
  const files = { '.env': `GENGATE_PORT=${port}\nGENGATE_FOO_BAR=1\nGENGATE_OLLAMA_URL=nonsense` }
  for (const line of ['status', 'status --json', 'explain', 'diag', 'probe']) {
    const { code, out, err } = await gengate(line, env, files)
    t.equal(code, 0, line)
    t.match(err, /warning: 2 settings are not valid[^]*GENGATE_FOO_BAR[^]*GENGATE_OLLAMA_URL/)
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
})
