import t from 'tap'
import { chat, readStream } from '../support/ask.ts'
import { startGate } from '../support/start-gate.ts'
import { upstreamProcess } from '../support/upstream-process.ts'

// Goal: a gate that does not get a processor for a while says so, blames nobody, and does not bother a
// busy engine with probes afterwards.
// Method: an upstream in a process of its own writes on while this process, the gate's too, stands still.

/** Longer than an interval of probes. */
const STALL_MS = 1_500

t.test('a stall of the gate is told, and costs no probe and no verdict', async (t) => {
  const a = await upstreamProcess(t, { models: ['m'], tokens: 1_000, gapMs: 20 })
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: `a=${a.url}`,
    GENGATE_PROBE_INTERVAL_MS: '1000',
  })
  await gate.untilReason('a', 'ok')
  const answer = await chat(gate, { stream: true, max_tokens: 400 })
  const end = readStream(answer)
  await gate.untilReason('a', 'ok_by_traffic')
  const probes = () => gate.lines.filter((line) => line.includes('"event":"probe_ended"')).length
  const before = probes()
  for (let n = 0; n < 3; n++) {
    // After an immediate come the timers, and the sockets only after those.
    await new Promise((resolve) => setImmediate(resolve))
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STALL_MS)
    // Time for a probe, if one were sent.
    await new Promise((resolve) => setTimeout(resolve, 300))
    t.match(gate.reason('a'), /^ok/)
  }
  t.ok((await end).done, 'the stream ends as it should')
  t.equal(probes(), before, gate.lines.slice(-30).join('\n'))
  const told = gate.lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'doubted')
  t.ok(told.length >= 3)
  t.match(told.at(-1), { level: 'warn', why: 'stalled', lost_ms: Number })
  const metrics = await (await fetch(`${gate.url}/metrics`)).text()
  t.match(metrics, /^gengate_doubts_total\{why="stalled"\} [3-9]/m)
})
