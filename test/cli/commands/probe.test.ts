import t from 'tap'
import {
  probeAll,
  probeArtefact,
  probeDocument,
  probeLine,
} from '../../../src/cli/commands/probe.ts'
import type { ProbeFinding, ProbeOnce } from '../../../src/cli/probe-once.ts'
import { targetOfUrl, targetsOfNames } from '../../../src/cli/targets.ts'
import type { ProbeOutcome } from '../../../src/core/health/evidence.ts'
import { ENGINE, jsonServer } from '../json-server.ts'
import { configOf, gengate, recordedIo, worldWith } from '../recorded-io.ts'

const once =
  (...passing: string[]): ProbeOnce =>
  async (target, limitMs) => ({
    target,
    models: [],
    outcome: passing.includes(target.upstream ?? target.url)
      ? { kind: 'pass', latencyMs: 1, tokens: 1 }
      : { kind: 'timeout', limitMs },
    endedAtMs: 0,
  })

const flags = { timeout: 5, interval: 2 }

t.test('probeAll() ends with 0 only when every target generates', async (t) => {
  const both = targetsOfNames(['vllm_cpu', 'ollama'], configOf())
  for (const [passing, code] of [
    [['vllm_cpu', 'ollama'], 0],
    [['vllm_cpu'], 1],
    [[], 1],
  ] as const) {
    const io = recordedIo()
    t.equal(await probeAll(both, flags, { world: worldWith(io), ask: once(...passing) }), code)
    t.equal(io.stdout.length, 2, 'one line each')
    t.same(io.stderr, [])
  }
})

t.test('probeAll() prints one JSON document on stdout, and colours only words', async (t) => {
  const io = recordedIo()
  const target = targetOfUrl('http://127.0.0.1:1/v1/')
  const ask = once('http://127.0.0.1:1')
  t.equal(await probeAll(target, { ...flags, json: true }, { world: worldWith(io), ask }), 0)
  t.match(JSON.parse(io.stdout.join('\n')), {
    base_url: 'http://127.0.0.1:1/v1',
    generation_probe_ok: true,
  })
  const coloured = { ...recordedIo(), colour: true }
  await probeAll(target, flags, { world: worldWith(coloured), ask })
  t.match(coloured.stdout[0], '\u001B[32mok\u001B[39m  http://')
})

t.test('probeAll() ends with 2 where it cannot tell whom to ask', async (t) => {
  for (const wanted of [targetOfUrl('ftp://x'), targetsOfNames(['nobody'], configOf())]) {
    const io = recordedIo()
    t.equal(await probeAll(wanted, flags, { world: worldWith(io), ask: once() }), 2)
    t.equal(io.stderr.length, 1)
    t.same(io.stdout, [])
  }
})

t.test('probeAll() that is watched ends as its last whole look would', async (t) => {
  const target = targetOfUrl('http://127.0.0.1:1')
  const url = 'http://127.0.0.1:1'
  const table: [passing: string[][], stopsAt: number, code: number][] = [
    [[[url], []], 2, 1],
    [[[], [url]], 2, 0],
    [[[url], []], 1, 0],
    [[[url]], 0, 1],
  ]
  for (const [passing, stopsAt, code] of table) {
    const io = recordedIo()
    let looks = 0
    const heard: (() => void)[] = []
    const onSignal = (_name: string, hear: () => void): void => void heard.push(hear)
    const ended = await probeAll(
      target,
      { ...flags, watch: true, interval: 0.001 },
      {
        world: { ...worldWith(io), onSignal },
        async ask(...args) {
          looks += 1
          // Stopped in the middle of the look after the last one that counts.
          if (looks > stopsAt) {
            heard[0]?.()
            t.equal(args[2]?.aborted, true, 'Ctrl-C gives up the generation, too')
          }
          return once(...(passing[looks - 1] ?? []))(...args)
        },
      },
    )
    t.equal(ended, code, JSON.stringify([passing, stopsAt]))
    t.equal(looks, stopsAt + 1)
    t.equal(io.stdout.filter((line) => line.startsWith('#')).length, stopsAt, 'one block each')
  }
})

t.test('probe asks what clients use, then the own port; --url and names go before', async (t) => {
  const { url, port, seen } = await jsonServer(t, ENGINE)
  const dead = 'http://127.0.0.1:1/v1'
  const table: [line: string, env: Record<string, string>, code: number][] = [
    ['probe', { SYSTEM2_VLLM_BASE_URL: `${url}/v1`, OPENCLAW_VLLM_BASE_URL: dead }, 0],
    ['probe', { OPENCLAW_VLLM_BASE_URL: `${url}/v1` }, 0],
    ['probe', { GENGATE_PORT: String(port) }, 0],
    ['probe', { SYSTEM2_VLLM_BASE_URL: dead, GENGATE_PORT: String(port) }, 1],
    [`probe --url ${url}`, { SYSTEM2_VLLM_BASE_URL: dead, GENGATE_PORT: 'x' }, 0],
    ['probe vllm_cpu', { SYSTEM2_VLLM_BASE_URL: dead, GENGATE_VLLM_CPU_URL: url }, 0],
    ['probe vllm_cpu', { GENGATE_PORT: 'x' }, 2],
    [`probe vllm_cpu --url ${url}`, {}, 2],
    ['probe', { SYSTEM2_VLLM_BASE_URL: 'nonsense' }, 2],
  ]
  for (const [line, env, code] of table) {
    const before = seen.length
    t.equal((await gengate(line, env)).code, code, `${line} ${JSON.stringify(env)}`)
    t.equal(seen.length > before, code === 0, 'only what passes was asked')
  }
})

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
