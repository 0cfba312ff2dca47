import t from 'tap'
import { chat, owningGate, until, untilGenerated } from '../support/owned.ts'

// Goal: an engine that wedges or dies is brought back without a human; a busy one is left alone.
// Method: the gate as a process of its own, over a small engine that it starts itself.

t.jobs = 3
/** A wedge is seen after two seconds, and proven after ten more. */
const QUICK = { GENGATE_DETECT_WITHIN_MS: '1000', GENGATE_PROBE_INTERVAL_MS: '250' }

t.test('a wedged engine is brought back', async (t) => {
  const gate = await owningGate(t, '', { env: QUICK })
  await untilGenerated(gate, 1)
  t.equal((await chat(gate.url)).status, 200)
  await fetch(`${gate.engineUrl}/control/wedge`)
  t.equal(
    (await fetch(`${gate.engineUrl}/health`)).status,
    200,
    'its /health says that all is well',
  )
  // Somebody asks, so that the gate looks at once; the answer is not the point here.
  void chat(gate.url, { stream: true }).catch(() => null)
  await untilGenerated(gate, 2)
  t.equal((await chat(gate.url)).status, 200)
  t.same(gate.steps(), [
    'started',
    'generated',
    'terminated wedged',
    'ended wedged',
    'started wedged',
    'generated',
  ])
  const metrics = await (await fetch(`${gate.url}/metrics`)).text()
  t.match(metrics, 'gengate_engine_restarts_total{upstream="a",reason="wedged"} 1')
  t.match(metrics, 'gengate_engine_state{upstream="a",state="running"} 1')
})

t.test('a killed engine is brought back, and so is one that ends by itself', async (t) => {
  const gate = await owningGate(t, '')
  await untilGenerated(gate, 1)
  const { pid } = (await gate.upstream()).process
  process.kill(Number(pid), 'SIGKILL')
  await untilGenerated(gate, 2)
  t.equal((await chat(gate.url)).status, 200)
  await fetch(`${gate.engineUrl}/control/exit`).catch(() => null)
  await untilGenerated(gate, 3)
  // The second end within ten minutes is held against it for 5 s, whoever starts it.
  await until(async () => (await gate.upstream())['reason'] === 'ok')
  t.equal((await chat(gate.url)).status, 200)
  const { process: engine } = await gate.upstream()
  t.match(engine, {
    state: 'running',
    restarts: 2,
    last_end: { reason: 'exited', how: 'exit code 9' },
  })
  t.not(engine['pid'], pid)
})

t.test('a busy engine is left alone, whoever waits in its queue', async (t) => {
  const gate = await owningGate(t, '', { env: QUICK })
  await untilGenerated(gate, 1)
  // Fourteen seconds of one slot; the detection target is one, and a wedge is proven after ten more.
  const long = chat(gate.url, { stream: true, max_tokens: 700 })
  const waiting = chat(gate.url)
  t.match(await (await long).text(), /\[DONE\]/)
  t.equal((await waiting).status, 200)
  t.same(gate.steps(), ['started', 'generated'])
})
