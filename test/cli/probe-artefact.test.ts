import t from 'tap'
import {
  probeArtefact,
  probeDocument,
  type ProbeFinding,
  probeLine,
} from '../../src/cli/probe-artefact.ts'
import type { ProbeOutcome } from '../../src/core/health/evidence.ts'

function finding(outcome: ProbeOutcome, upstream: string | null = 'vllm_cpu'): ProbeFinding {
  const target = {
    upstream,
    engine: 'vllm',
    url: 'http://127.0.0.1:8001',
    model: null,
    apiKey: 'very-secret',
  } as const
  return { target, models: ['tiny'], outcome, endedAtMs: Date.UTC(2026, 1, 14, 1, 23, 43) }
}

const pass: ProbeOutcome = { kind: 'pass', latencyMs: 43.2, tokens: 1 }

t.test('probeArtefact() has the fields that scripts read, and ours after them', async (t) => {
  t.same(probeArtefact(finding(pass)), {
    version: 1,
    type: 'vllm_status',
    ts: '2026-02-14T01:23:43.000Z',
    base_url: 'http://127.0.0.1:8001/v1',
    healthy: true,
    models: ['tiny'],
    inference_ok: true,
    generation_probe_ok: true,
    generation_probe_reason: 'ok',
    error: null,
    upstream: 'vllm_cpu',
    engine: 'vllm',
    latency_ms: 43,
    tokens: 1,
    outcome: 'pass',
    hint: null,
  })
  // The night on record in which a list was served and nothing generated.
  t.match(probeArtefact(finding({ kind: 'timeout', limitMs: 5_000 }, null)), {
    healthy: true,
    inference_ok: false,
    generation_probe_ok: false,
    generation_probe_reason: 'timeout',
    error: 'timeout: nothing was generated within 5 s.',
    upstream: null,
    latency_ms: null,
    tokens: null,
    outcome: 'timeout',
    hint: 'It is wedged, or slower than --timeout: try a longer one, else restart the engine.',
  })
  const unlisted = { ...finding(pass), models: null }
  t.match(probeArtefact(unlisted), { healthy: false, models: [], inference_ok: true })
})

t.test('a gate that has nothing to serve with is not busy', async (t) => {
  const message = 'No upstream can generate now. vllm_cpu: wedged for 12 s (Restart the engine.)'
  const busy = { ...finding({ kind: 'busy', detail: 'http_503' }, null), models: null }
  const empty = { ...busy, refusal: { code: 'no_eligible_upstream', message } } as const
  const said = `no_eligible_upstream: the gate there has no upstream that generates. ${message}`
  t.match(probeArtefact(empty), {
    healthy: false,
    generation_probe_ok: false,
    generation_probe_reason: 'http_503',
    error: said,
    outcome: 'no_eligible_upstream',
  })
  t.equal(
    probeLine(empty),
    `fail  http://127.0.0.1:8001/v1  ${said} \`gengate status\` shows more.`,
  )
  const full = { ...busy, refusal: { code: 'queue_full', message: 'Full.' } } as const
  t.match(probeLine(full), /queue_full: the gate there refuses\. Full\./)
  t.match(probeLine(busy), /busy: /)
})

t.test('probeDocument() is one artefact, and lists all of several', async (t) => {
  const one = finding(pass)
  const two = finding({ kind: 'cold' }, 'ollama')
  t.same(probeDocument([one]), probeArtefact(one))
  t.same(probeDocument([one, two]), {
    ...probeArtefact(one),
    upstreams: [probeArtefact(one), probeArtefact(two)],
  })
  t.notMatch(JSON.stringify(probeDocument([one, two])), 'very-secret')
})

t.test('probeLine() says in one line what was found and what to do', async (t) => {
  const table: [outcome: ProbeOutcome, words: RegExp][] = [
    [pass, /^ok {2}vllm_cpu {2}http:\/\/127\.0\.0\.1:8001\/v1 {2}generated 1 token in 43 ms/],
    [{ ...pass, tokens: 0 }, /generated 0 tokens/],
    [{ kind: 'timeout', limitMs: 500 }, /^fail .*within 0\.5 s\. .*--timeout/],
    [{ kind: 'busy', detail: 'http_429' }, /busy: .*\(http_429\)/],
    [{ kind: 'cold' }, /model_not_loaded: .*loads it/],
    [{ kind: 'inconclusive', detail: 'EMFILE' }, /inconclusive: EMFILE\.$/],
    [
      { kind: 'fail', reason: 'unauthorized', detail: 'http_401' },
      /unauthorized: http_401\. .*Set GENGATE_VLLM_CPU_API_KEY/,
    ],
  ]
  for (const [outcome, words] of table) {
    const line = probeLine(finding(outcome))
    t.match(line, words)
    t.notMatch(line, /\n|very-secret/)
  }
  const nameless = probeLine(finding({ kind: 'fail', reason: 'unauthorized', detail: 'x' }, null))
  t.match(nameless, 'GENGATE_<NAME>_API_KEY')
})
