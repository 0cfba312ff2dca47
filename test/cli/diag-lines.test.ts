import t from 'tap'
import { diagLines, diagReason, generationReason, reasonsOf } from '../../src/cli/diag-lines.ts'
import type { ProbeOutcome } from '../../src/core/health/evidence.ts'
import { REASONS } from '../../src/core/health/reason.ts'

t.test('diagLines() prints exactly the lines that scripts read', async (t) => {
  const lines = diagLines({
    endpointPresent: true,
    models: 2,
    generationOk: false,
    generationReason: 'timeout',
    eligible: false,
    reason: 'generation_probe_failed',
    upstreams: [
      {
        name: 'vllm_cpu',
        enabled: true,
        eligible: false,
        reason: 'wedged',
        authEnvKeys: ['GENGATE_VLLM_CPU_API_KEY'],
      },
      { name: 'ollama', enabled: false, eligible: false, reason: 'disabled', authEnvKeys: [] },
    ],
  })
  t.same(lines, [
    'local_vllm_endpoint_present=true',
    'local_vllm_models_fetch_ok=true',
    'local_vllm_models_count=2',
    'local_vllm_generation_probe_ok=false',
    'local_vllm_generation_probe_reason=timeout',
    'local_vllm: eligible=no reason=generation_probe_failed',
    '- vllm_cpu: configured=yes enabled=yes eligible=no reason=generation_probe_failed' +
      ' auth_env_keys=GENGATE_VLLM_CPU_API_KEY',
    '- ollama: configured=yes enabled=no eligible=no reason=disabled auth_env_keys=none',
  ])
})

t.test('diagReason() has a word for every reason', async (t) => {
  const failed =
    'probe_missed silent slow live_failure wedged http_5xx invalid_response truncated hold_down'
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
  const outcomes: [outcome: ProbeOutcome, words: object][] = [
    [
      { kind: 'pass', latencyMs: 1, tokens: 1 },
      { generation: 'ok', reason: 'ok' },
    ],
    [
      { kind: 'timeout', limitMs: 5_000 },
      { generation: 'timeout', reason: 'generation_probe_failed' },
    ],
    [
      { kind: 'fail', reason: 'http_5xx', detail: 'http_500' },
      { generation: 'http_500', reason: 'generation_probe_failed' },
    ],
    [
      { kind: 'fail', reason: 'refused', detail: 'ECONNREFUSED' },
      { generation: 'refused', reason: 'refused' },
    ],
    [{ kind: 'cold' }, { generation: 'model_not_loaded', reason: 'model_not_loaded' }],
    [
      { kind: 'busy', detail: 'http_503' },
      { generation: 'http_503', reason: 'not_probed_yet' },
    ],
    [
      { kind: 'inconclusive', detail: 'EMFILE' },
      { generation: 'unknown', reason: 'not_probed_yet' },
    ],
  ]
  for (const [outcome, words] of outcomes) t.same(reasonsOf(outcome), words, outcome.kind)
})
