import t from 'tap'
import { gengate } from '../recorded-io.ts'

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

t.test('config check notes what is probably not meant, as text and as JSON', async (t) => {
  const env = {
    GENGATE_UPSTREAMS: 'a=http://127.0.0.1:8391',
    GENGATE_A_RUN: 'nosuch --port 1',
    GENGATE_OLAMA_MODEL: 'm',
  }
  const [text, json] = [
    await gengate('config check', env),
    await gengate('config check --json', env),
  ]
  const { notes, ...rest } = JSON.parse(json.out) as { notes: string[] }
  t.match(rest, { ok: true, issues: [], upstreams: ['a'], port: 8000 })
  t.match(text.err, /note: GENGATE_A_RUN: there is no program nosuch[^]*has --port 1,/)
  t.equal(text.err, notes.map((note) => `note: ${note}`).join('\n'))
  t.same([text.code, json.code, notes.length], [0, 0, 3], 'and valid')
})
