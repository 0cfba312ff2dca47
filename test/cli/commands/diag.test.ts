import t from 'tap'
import {
  diagnose,
  diagReason,
  generationReason,
  reasonsOf,
} from '../../../src/cli/commands/diag.ts'
import type { ProbeOnce } from '../../../src/cli/probe-once.ts'
import { targetOfGate } from '../../../src/cli/targets.ts'
import type { ProbeOutcome } from '../../../src/core/health/evidence.ts'
import { REASONS } from '../../../src/core/health/reason.ts'
import { configOf, recordedIo } from '../recorded-io.ts'
import { gateStatus, jsonServer, type Reply } from '../json-server.ts'

// Rows of docs/faults.md that are shown here: diag-all-wedged.

const noProbe: ProbeOnce = () => {
  throw new Error('a running gate is asked, not its upstreams')
}

/** Runs `diag` against a gate that answers so. */
async function withGate(
  t: Parameters<typeof jsonServer>[0],
  upstreams: object[],
  models: Reply,
  env: Record<string, string> = {},
) {
  const { port } = await jsonServer(t, { ...gateStatus(...upstreams), 'GET /v1/models': models })
  const own = { GENGATE_PORT: String(port), GENGATE_VLLM_CPU_API_KEY: 'very-secret' }
  const config = configOf({ ...own, ...env })
  const io = recordedIo()
  const code = await diagnose(config, { io, probeOnce: noProbe, clients: targetOfGate(config) })
  return { code, lines: io.stdout, all: [...io.stdout, ...io.stderr].join('\n') }
}

const ok = { name: 'vllm_metal', eligible: true, state: 'eligible', reason: 'ok' }
const wedged = { name: 'vllm_cpu', url: 'http://127.0.0.1:1', state: 'ejected', reason: 'wedged' }
const disabled = { intent: 'disabled', eligible: false, state: 'disabled', reason: 'disabled' }
const listed: Reply = [200, { data: [{ id: 'default' }, { id: 'tiny' }] }]
const none: Reply = [503, { error: { code: 'no_eligible_upstream' } }]

/** What it says of a gate with nothing but wedged engines. */
const failed = (fetched: boolean, count: number): string[] => [
  'local_vllm_endpoint_present=true',
  `local_vllm_models_fetch_ok=${fetched}`,
  `local_vllm_models_count=${count}`,
  'local_vllm_generation_probe_ok=false',
  'local_vllm_generation_probe_reason=timeout',
  'local_vllm: eligible=no reason=generation_probe_failed',
]

t.test('diagnose() tells what the running gate knows, and no secret', async (t) => {
  const { code, lines, all } = await withGate(t, [ok, wedged], listed)
  t.equal(code, 0)
  t.same(lines, [
    'local_vllm_endpoint_present=true',
    'local_vllm_models_fetch_ok=true',
    'local_vllm_models_count=2',
    'local_vllm_generation_probe_ok=true',
    'local_vllm_generation_probe_reason=ok',
    'local_vllm: eligible=yes reason=ok',
    '- vllm_metal: configured=yes enabled=yes eligible=yes reason=ok auth_env_keys=none',
    '- vllm_cpu: configured=yes enabled=yes eligible=no reason=generation_probe_failed' +
      ' auth_env_keys=GENGATE_VLLM_CPU_API_KEY',
  ])
  t.notMatch(all, 'very-secret')
})

t.test('diagnose() ends with 1 where nothing is servable', async (t) => {
  const { code, lines } = await withGate(t, [wedged], none)
  t.equal(code, 1)
  t.same(lines.slice(0, 6), failed(false, 0))
})

t.test('diagnose() where all are wedged shows that the engines still list models', async (t) => {
  const two: Reply = [200, { data: [{ id: 'a' }, { id: 'b' }] }]
  const engine = await jsonServer(t, { 'GET /v1/models': two })
  const other = await jsonServer(t, { 'GET /v1/models': [200, { data: [{ id: 'b' }] }] })
  const urls = { GENGATE_VLLM_CPU_URL: engine.url, GENGATE_VLLM_METAL_URL: other.url }
  const rows = [wedged, { ...wedged, name: 'vllm_metal', reason: 'silent' }]
  const { code, lines } = await withGate(t, rows, none, urls)
  t.equal(code, 1)
  t.same(lines.slice(0, 6), failed(true, 2))
  t.equal(engine.seen[0]?.authorization, 'Bearer very-secret', 'as the gate asks')
  t.equal(other.seen[0]?.authorization, undefined, 'its key goes to nobody else')
  const asked = engine.seen.length
  const unwanted = await withGate(t, [{ ...wedged, ...disabled }], none, urls)
  t.ok(unwanted.lines.includes('local_vllm_models_fetch_ok=false'))
  t.equal(engine.seen.length, asked, 'what nobody wants is not asked')
})

t.test('diagnose() counts a suspect that still serves as eligible, not as proven', async (t) => {
  const suspect = { ...wedged, state: 'suspect', reason: 'silent' }
  const { code, lines } = await withGate(t, [suspect], listed)
  t.equal(code, 0)
  t.ok(lines.includes('local_vllm_generation_probe_ok=false'))
  t.ok(lines.includes('local_vllm: eligible=yes reason=generation_probe_failed'))
})

t.test('diagnose() looks at what the operator disabled only to list it', async (t) => {
  const { lines } = await withGate(t, [{ ...ok, ...disabled }], none)
  t.ok(lines.includes('local_vllm: eligible=no reason=no_upstream_enabled'))
  t.match(lines.at(-1), 'enabled=no eligible=no reason=disabled')
})

t.test('diagnose() without a gate believes only what clients reach', async (t) => {
  const refused: ProbeOutcome = { kind: 'fail', reason: 'refused', detail: 'ECONNREFUSED' }
  const pass: ProbeOutcome = { kind: 'pass', latencyMs: 5, tokens: 1 }
  const config = configOf({ GENGATE_PORT: '1', GENGATE_UPSTREAMS: 'vllm_cpu' })
  const run = async (endpoint: ProbeOutcome, upstream: ProbeOutcome) => {
    const io = recordedIo()
    const probeOnce: ProbeOnce = async (target) => ({
      target,
      models: target.upstream === null && endpoint.kind !== 'pass' ? null : ['tiny'],
      outcome: target.upstream === null ? endpoint : upstream,
      endedAtMs: 0,
    })
    const code = await diagnose(config, { io, probeOnce, clients: targetOfGate(config) })
    t.match(io.stderr.join('\n'), /No gate answers .* Start one with `gengate serve`/)
    return { code, lines: io.stdout }
  }
  const dead = await run(refused, pass)
  t.equal(dead.code, 1)
  t.ok(dead.lines.includes('local_vllm_endpoint_present=false'))
  t.ok(dead.lines.includes('local_vllm: eligible=no reason=refused'))
  t.match(dead.lines.at(-1), '- vllm_cpu: configured=yes enabled=yes eligible=yes reason=ok')
  const alive = await run(pass, refused)
  t.equal(alive.code, 0)
  t.ok(alive.lines.includes('local_vllm: eligible=yes reason=ok'))
  t.match(alive.lines.at(-1), 'eligible=no reason=refused')
})

t.test('diagReason() has a word for every reason', async (t) => {
  const failed =
    'probe_missed silent live_failure wedged http_5xx invalid_response truncated hold_down'
  for (const [reason, { state }] of Object.entries(REASONS)) {
    const own = failed.split(' ').includes(reason) ? 'generation_probe_failed' : reason
    t.equal(diagReason(reason), state === 'eligible' ? 'ok' : own, reason)
  }
  t.equal(diagReason('of_a_newer_gate'), 'of_a_newer_gate')
})

t.test('generationReason() and reasonsOf() use the words of the older probe', async (t) => {
  const reasons: [reason: string, word: string][] = [
    ['ok_by_traffic', 'ok'],
    ['wedged', 'timeout'],
    ['probe_missed', 'timeout'],
    ['truncated', 'parse_error'],
    ['stale', 'unknown'],
    ['refused', 'refused'],
  ]
  for (const [reason, word] of reasons) t.equal(generationReason(reason), word, reason)
  const outcomes: [outcome: ProbeOutcome, generation: string, reason: string][] = [
    [{ kind: 'pass', latencyMs: 1, tokens: 1 }, 'ok', 'ok'],
    [{ kind: 'timeout', limitMs: 5_000 }, 'timeout', 'generation_probe_failed'],
    [
      { kind: 'fail', reason: 'http_5xx', detail: 'http_500' },
      'http_500',
      'generation_probe_failed',
    ],
    [{ kind: 'fail', reason: 'refused', detail: 'ECONNREFUSED' }, 'refused', 'refused'],
    [{ kind: 'cold' }, 'model_not_loaded', 'model_not_loaded'],
    [{ kind: 'busy', detail: 'http_503' }, 'http_503', 'not_probed_yet'],
    [{ kind: 'inconclusive', detail: 'EMFILE' }, 'unknown', 'not_probed_yet'],
  ]
  for (const [outcome, generation, reason] of outcomes) {
    t.same(reasonsOf(outcome), { generation, reason }, outcome.kind)
  }
})
