import t from 'tap'
import { ENGINE, gateStatus, jsonServer, type Reply } from '../json-server.ts'
import { gengate } from '../recorded-io.ts'

t.test('doctor fails on what must be mended, and says what', async (t) => {
  const { url } = await jsonServer(t, ENGINE)
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
    state: 'starting',
    reason: 'loading',
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
    const { port, seen } = await jsonServer(t, gateStatus(...upstreams))
    const env = { GENGATE_PORT: String(port), GENGATE_API_KEYS: key }
    const { code: ended, out } = await gengate('doctor', env)
    t.equal(ended, code, out)
    for (const line of lines) t.match(out, line)
    t.match(out, new RegExp(`^ok {4}this gate runs at http://127.0.0.1:${port}: gengate 1`, 'm'))
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
