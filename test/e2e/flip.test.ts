import { once } from 'node:events'
import { connect, Socket } from 'node:net'
import t from 'tap'
import { chatBody, post, readStream, servedBy } from '../support/ask.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { startGate } from '../support/start-gate.ts'

// Rows of docs/faults.md that are shown here: F45, F46.

// Goal: a change of the configuration moves new requests at once and touches no running stream.

t.test('another first upstream takes new requests while 50 streams finish', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'], tokens: 60, gapMs: 20 })
  const b = await fakeUpstream(t, { models: ['m'] })
  const env = { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}` }
  const gate = await startGate(t, env)
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  const chat = () => post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true }))
  const running = await Promise.all(Array.from({ length: 50 }, chat))
  const ends = Promise.all(running.map(readStream))
  gate.reload({ ...env, LOCAL_LLM_BACKEND: 'b' })
  t.equal(servedBy(await chat()), 'b')
  for (const end of await ends) {
    t.ok(end.done)
    t.equal(end.error, null)
    t.equal(end.text.split(' ').length >= 1, true)
  }
  t.match(gate.reason('b'), /^ok/, 'evidence survived the change')
})

t.test('an upstream that is taken away finishes what it has', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'], tokens: 30, gapMs: 20 })
  const b = await fakeUpstream(t, { models: ['m'] })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}` })
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  const running = await post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true }))
  gate.reload({ GENGATE_UPSTREAMS: `b=${b.url}` })
  t.ok((await readStream(running)).done)
  t.equal(gate.reason('a'), undefined)
})

t.test('an invalid configuration leaves the running one alone and is shown', async (t) => {
  const a = await fakeUpstream(t)
  const env = { GENGATE_UPSTREAMS: `a=${a.url}` }
  const gate = await startGate(t, env)
  await gate.untilReason('a', 'ok')
  gate.reload({ ...env, GENGATE_PROT: '8001' })
  t.equal((await post(`${gate.url}/v1/chat/completions`, chatBody())).status, 200)
  const status = (await (await fetch(`${gate.url}/gate/status`)).json()) as {
    config: { ok: boolean; error: string }
  }
  t.equal(status.config.ok, false)
  t.match(status.config.error, /GENGATE_PROT.*GENGATE_PORT/)
  const metrics = await (await fetch(`${gate.url}/metrics`)).text()
  t.match(metrics, /^gengate_config_last_reload_successful 0$/m)
  gate.reload(env)
  t.match(
    await (await fetch(`${gate.url}/metrics`)).text(),
    /^gengate_config_last_reload_successful 1$/m,
  )
})

t.test('a draining upstream gets nothing new', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  const b = await fakeUpstream(t, { models: ['m'] })
  const env = { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}` }
  const gate = await startGate(t, env)
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  gate.reload({ ...env, GENGATE_A_ADMIN: 'draining' })
  t.equal(gate.reason('a'), 'draining')
  const answer = await post(`${gate.url}/v1/chat/completions`, chatBody())
  t.equal(servedBy(answer), 'b')
})

t.test('GENGATE_CONNECTIONS_MAX applies to the running gate, and closes nothing', async (t) => {
  const gate = await startGate(t, { GENGATE_EMBEDDED: 'off' })
  const open = Array.from({ length: 2 }, () => connect(gate.port, '127.0.0.1'))
  t.teardown(() => open.forEach((socket) => socket.destroy()))
  for (const socket of open) await once(socket, 'connect')
  t.equal((await fetch(`${gate.url}/livez`, { headers: { connection: 'close' } })).status, 200)
  gate.reload({ GENGATE_EMBEDDED: 'off', GENGATE_CONNECTIONS_MAX: '2' })
  const refused = await fetch(`${gate.url}/livez`)
  t.equal(refused.status, 503)
  t.match(await refused.json(), { error: { code: 'too_many_connections' } })
  const [first] = open
  first?.write('GET /livez HTTP/1.1\r\nhost: a\r\n\r\n')
  t.match(String((await once(first ?? new Socket(), 'data'))[0]), /^HTTP\/1\.1 200/)
})
