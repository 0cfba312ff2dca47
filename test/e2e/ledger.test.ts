import { fork } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { childEnv } from '../support/child-env.ts'
import { ChaosProxy, randomPlan, type Toxic } from '../support/chaos-proxy.ts'
import { LedgerClient, type Verdict } from '../support/ledger-client.ts'
import { type LedgerUpstream, ledgerUpstream } from '../support/ledger-upstream.ts'
import { Chance } from '../support/sim-chance.ts'
import { sized } from '../support/soak.ts'

// Goal: no response is lost, duplicated, cross-wired or silently truncated, whatever the network
// between the gate and its upstreams does.
// Method: clients and upstreams both keep a ledger. Every request carries a nonce, every answer
// spells it. Between gate and upstreams stand chaos proxies: nearly every connection breaks sooner
// or later in a way that the seed decides. Probes are spared, so that the gate keeps working.
//
//   lost          a request that neither got a whole answer nor an error, or waits for ever
//   duplicated    more than one answer; or more than two upstreams saw it, or one of them more than
//                 twice (the second time on a fresh connection, since a stale one broke unanswered)
//   cross-wired   an answer with anything of another's nonce
//   truncated     an answer that ended properly and is not whole
//
// One seed again: LEDGER_SEED=n.

const ONE = process.env['LEDGER_SEED']
const REQUESTS = sized(4_000, 100_000)
/** Each seed is a gate of its own; odd ones share by load, even ones go by preference. */
const PER_SEED = Math.min(20_000, REQUESTS / 2)
const CLIENTS = 64
const UPSTREAMS = 4
/** An upstream's port is closed for so long, twice a seed, ms. */
const REFUSES_MS = 150

const LIMIT_MS = 60_000 + REQUESTS * 3
t.setTimeout(LIMIT_MS)

interface Ledger {
  readonly counts: Record<Verdict['outcome'], number>
  readonly codes: Record<string, number>
  readonly struck: Record<Toxic['kind'], number>
  readonly faults: string[]
  resent: number
  failovers: number
}

t.test('0 lost, 0 duplicated, 0 cross-wired, 0 truncated', { timeout: LIMIT_MS }, async (t) => {
  const counts = { whole: 0, error: 0, cut: 0, left: 0 }
  const faults = { lost: 0, duplicated: 0, 'cross-wired': 0, truncated: 0 }
  const ledger: Ledger = {
    counts: { ...counts, ...faults },
    codes: {},
    struck: new ChaosProxy(0).struck,
    faults: [],
    resent: 0,
    failovers: 0,
  }
  const seeds = Math.ceil(REQUESTS / PER_SEED)
  const list = ONE === undefined ? Array.from({ length: seeds }, (_, i) => i + 1) : [Number(ONE)]
  for (const seed of list) await play(t, seed, ledger)
  const asked = Object.values(ledger.counts).reduce((sum, n) => sum + n, 0)
  t.comment(`${asked} requests, ${list.length} seeds`)
  t.comment(`ended as ${text(ledger.counts)}`)
  t.comment(`errors ${text(ledger.codes)}`)
  t.comment(`connections struck ${text(ledger.struck)}`)
  t.comment(`${ledger.failovers} went to a second upstream, ${ledger.resent} twice to one`)
  for (const zero of ['lost', 'duplicated', 'cross-wired', 'truncated'] as const) {
    t.comment(`${ledger.counts[zero]} ${zero}`)
    t.equal(ledger.counts[zero], 0, zero)
  }
  t.strictSame(ledger.faults.slice(0, 10), [])
  // Closed ports leave nobody for a moment, however many are asked: a round or some of all clients.
  const { no_eligible_upstream: nobody = 0 } = ledger.codes
  const spared = Math.min(nobody, 4 * CLIENTS * list.length)
  t.ok(ledger.counts.whole > 0.9 * (asked - spared), 'most were served all the same')
  for (const [kind, times] of Object.entries(ledger.struck)) {
    if (kind !== 'none') t.ok(ONE !== undefined || times > 0, `${kind} has struck`)
  }
})

function text(counts: Record<string, number>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name}=${count}`)
    .join(' ')
}

async function play(t: Test, seed: number, ledger: Ledger): Promise<void> {
  const requests = PER_SEED
  const names = Array.from({ length: UPSTREAMS }, (_, i) => `u${i}`)
  const upstreams = await Promise.all(names.map((name) => ledgerUpstream(t, name)))
  const proxies: ChaosProxy[] = []
  for (const [i, { port }] of upstreams.entries()) {
    const proxy = new ChaosProxy(port)
    proxy.plan = randomPlan(seed * UPSTREAMS + i, 30_000)
    // What the gate forwards says so; what does not is a probe.
    proxy.spares = (first) => !first.includes('gengate-')
    await proxy.listen()
    proxies.push(proxy)
  }
  const gate = await startGate({
    GENGATE_UPSTREAMS: proxies.map(({ url }, i) => `u${i}=${url}`).join(','),
    // By preference, all traffic stays with one until it fails; by load, all four share it.
    GENGATE_POLICY: seed % 2 === 0 ? 'priority' : 'least_busy',
    GENGATE_HOLD_MS: '1000',
  })
  await gate.untilReady()
  const note = (verdict: Verdict): void => {
    ledger.counts[verdict.outcome]++
    if (verdict.outcome === 'error' || verdict.outcome === 'cut') {
      ledger.codes[verdict.detail] = (ledger.codes[verdict.detail] ?? 0) + 1
    } else if (verdict.outcome !== 'whole' && verdict.outcome !== 'left') {
      ledger.faults.push(`replay: LEDGER_SEED=${seed}  ${verdict.outcome}: ${verdict.detail}`)
    }
  }
  await ask({ seed, requests, port: gate.port, proxies }, note)
  audit(upstreams, ledger, note)
  for (const proxy of proxies) {
    for (const [kind, times] of Object.entries(proxy.struck)) {
      ledger.struck[kind as Toxic['kind']] += times
    }
  }
  const replay = `replay: LEDGER_SEED=${seed}`
  t.strictSame(gate.lines, [], `no bug was noted; ${replay}`)
  t.strictSame(await gate.inFlight(), Array(UPSTREAMS).fill(0), `all leases are back; ${replay}`)
  await gate.stop()
  for (const proxy of proxies) await proxy.close()
}

/** All clients together ask this often; meanwhile each upstream is refused for a moment, twice. */
async function ask(
  run: { seed: number; requests: number; port: number; proxies: readonly ChaosProxy[] },
  note: (verdict: Verdict) => void,
): Promise<void> {
  const { seed, requests, port, proxies } = run
  let next = 0
  const refusals: Promise<void>[] = []
  const refuseAt = proxies.flatMap((proxy, i) =>
    [0.1, 0.6].map((share) => ({ at: Math.floor((share + 0.1 * i) * requests), proxy })),
  )
  const worker = async (id: number): Promise<void> => {
    const chance = new Chance(seed * 1_009 + id)
    const client = new LedgerClient(port)
    while (next < requests) {
      const n = next++
      for (const { at, proxy } of refuseAt) if (at === n) refusals.push(refuse(proxy))
      const tail = Math.floor(chance.next() * 2 ** 32).toString(16)
      note(await client.ask(`N${seed}-${n}-${tail.padStart(8, '0')}`, chance))
    }
    if (client.strays > 0) note({ outcome: 'duplicated', detail: `${client.strays} stray bytes` })
    client.close()
  }
  await Promise.all(Array.from({ length: CLIENTS }, (_, id) => worker(id)))
  await Promise.all(refusals)
}

async function refuse(proxy: ChaosProxy): Promise<void> {
  await proxy.refuse()
  await new Promise((resolve) => setTimeout(resolve, REFUSES_MS))
  await proxy.listen()
}

/** The upstreams' side of the ledger. */
function audit(
  upstreams: readonly LedgerUpstream[],
  ledger: Ledger,
  note: (verdict: Verdict) => void,
): void {
  const seenBy = new Map<string, number>()
  for (const { name, arrived } of upstreams) {
    for (const [nonce, times] of arrived) {
      seenBy.set(nonce, (seenBy.get(nonce) ?? 0) + 1)
      if (times === 2) ledger.resent++
      if (times > 2) note({ outcome: 'duplicated', detail: `${nonce}: ${times} times to ${name}` })
    }
  }
  for (const [nonce, number] of seenBy) {
    if (number === 2) ledger.failovers++
    if (number > 2) note({ outcome: 'duplicated', detail: `${nonce} reached ${number} upstreams` })
  }
}

interface Gate {
  readonly port: number
  readonly lines: string[]
  untilReady(): Promise<void>
  inFlight(): Promise<number[]>
  stop(): Promise<void>
}

async function startGate(env: Record<string, string>): Promise<Gate> {
  const entry = fileURLToPath(new URL('../support/ledger-gate.ts', import.meta.url))
  const whole = { GENGATE_PORT: '0', GENGATE_EMBEDDED: 'off', ...env }
  const child = fork(entry, [JSON.stringify(whole)], { execArgv: [], env: childEnv() })
  const lines: string[] = []
  child.on('message', (message: { line?: string }) => {
    if (message.line !== undefined) lines.push(message.line)
  })
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  const status = async () =>
    (await (await fetch(`http://127.0.0.1:${port}/gate/status`)).json()) as {
      upstreams: { eligible: boolean; in_flight: number }[]
    }
  const settled = async (
    good: (upstream: { eligible: boolean; in_flight: number }) => boolean,
  ): Promise<void> => {
    for (let i = 0; i < 500; i++) {
      if ((await status()).upstreams.every(good)) return
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  return {
    port,
    lines,
    untilReady: () => settled(({ eligible }) => eligible),
    inFlight: async () => {
      await settled(({ in_flight: n }) => n === 0)
      return (await status()).upstreams.map(({ in_flight: n }) => n)
    },
    stop: async () => {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
}
