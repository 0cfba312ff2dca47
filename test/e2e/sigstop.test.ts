import t from 'tap'
import { chatBody, post, servedBy } from '../support/ask.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { runCli } from '../support/run-cli.ts'
import { startGate } from '../support/start-gate.ts'
import { upstreamProcess } from '../support/upstream-process.ts'

// Rows of docs/faults.md that are shown here: F04.

// Goal: the operator's day: the preferred engine freezes as a whole, the other one answers, the
// commands say so, and after the thaw it serves again, without hold-down.
// Method: an upstream in its own process, SIGSTOP and SIGCONT, the real command line.

t.test('SIGSTOP of the preferred upstream', async (t) => {
  const a = await upstreamProcess(t, { models: ['m'] })
  const b = await fakeUpstream(t, { models: ['m'] })
  const quick = { GENGATE_DETECT_WITHIN_MS: '1500', GENGATE_PROBE_INTERVAL_MS: '500' }
  const env = { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`, ...quick }
  const gate = await startGate(t, env)
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  t.equal((await fetch(`${a.url}/health`)).status, 200)
  const chat = () => post(`${gate.url}/v1/chat/completions`, chatBody({ max_tokens: 4 }))
  t.equal(servedBy(await chat()), 'a')

  a.stop()
  await new Promise((resolve) => setTimeout(resolve, 300))
  const first = await chat()
  t.equal(first.status, 200)
  t.equal(servedBy(first), 'b')
  t.equal(servedBy(await chat()), 'b')

  const cliEnv = { ...env, GENGATE_PORT: String(gate.port) }
  const [diag, probe] = await Promise.all([
    runCli(['diag'], cliEnv),
    runCli(['probe', '--json', '--url', a.url, '--timeout', '2'], cliEnv),
  ])
  t.match(diag.out, /^- a: .*eligible=no reason=generation_probe_failed/m)
  t.match(diag.out, /^- b: .*eligible=yes/m)
  t.match(diag.out, /^local_vllm: eligible=yes/m)
  t.equal(probe.code, 1)
  t.match(JSON.parse(probe.out), { generation_probe_ok: false, generation_probe_reason: 'timeout' })

  a.cont()
  await gate.until(() => /^ok|^busy/.test(gate.reason('a') ?? ''), 5_000)
  t.equal(servedBy(await chat()), 'a')
})
