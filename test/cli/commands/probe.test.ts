import t from 'tap'
import { probe, type ProbeOnce } from '../../../src/cli/commands/probe.ts'
import { targetOfUrl, targetsOfNames } from '../../../src/cli/probe-targets.ts'
import { configOf, recordedIo } from '../recorded-io.ts'

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

const options = { json: false, timeoutMs: 5_000, intervalMs: null }
const unwatched = {
  redraw: false,
  stopped: () => {
    throw new Error('nothing is watched')
  },
}

t.test('probe() ends with 0 only when every target generates', async (t) => {
  const both = targetsOfNames(['vllm_cpu', 'ollama'], configOf())
  for (const [passing, code] of [
    [['vllm_cpu', 'ollama'], 0],
    [['vllm_cpu'], 1],
    [[], 1],
  ] as const) {
    const io = recordedIo()
    t.equal(await probe(both, options, { ...unwatched, io, probeOnce: once(...passing) }), code)
    t.equal(io.stdout.length, 2, 'one line each')
    t.same(io.stderr, [])
  }
})

t.test('probe() prints one JSON document on stdout, and colours only words', async (t) => {
  const io = recordedIo()
  const target = targetOfUrl('http://127.0.0.1:1/v1/')
  const deps = { ...unwatched, io, probeOnce: once('http://127.0.0.1:1') }
  t.equal(await probe(target, { ...options, json: true }, deps), 0)
  t.match(JSON.parse(io.stdout.join('\n')), {
    base_url: 'http://127.0.0.1:1/v1',
    generation_probe_ok: true,
  })
  const coloured = { ...recordedIo(), colour: true }
  await probe(target, options, { ...deps, io: coloured })
  t.match(coloured.stdout[0], '\u001B[32mok\u001B[39m  http://')
})

t.test('probe() ends with 2 where it cannot tell whom to ask', async (t) => {
  for (const wanted of [targetOfUrl('ftp://x'), targetsOfNames(['nobody'], configOf())]) {
    const io = recordedIo()
    t.equal(await probe(wanted, options, { ...unwatched, io, probeOnce: once() }), 2)
    t.equal(io.stderr.length, 1)
    t.same(io.stdout, [])
  }
})

t.test('probe() that is watched ends as its last whole look would', async (t) => {
  const target = targetOfUrl('http://127.0.0.1:1')
  const url = 'http://127.0.0.1:1'
  const table: [passing: string[][], stopsAt: number, code: number][] = [
    [[[url], []], 2, 1],
    [[[], [url]], 2, 0],
    [[[url], []], 1, 0],
    [[[url]], 0, 1],
  ]
  for (const [passing, stopsAt, code] of table) {
    const stop = new AbortController()
    const io = recordedIo()
    let looks = 0
    const ended = await probe(
      target,
      { ...options, intervalMs: 1 },
      {
        io,
        redraw: false,
        stopped: () => stop.signal,
        probeOnce: (...args) => {
          t.equal(args[2], stop.signal, 'Ctrl-C gives up the generation, too')
          looks += 1
          // Stopped in the middle of the look after the last one that counts.
          if (looks > stopsAt) stop.abort()
          return once(...(passing[looks - 1] ?? []))(...args)
        },
      },
    )
    t.equal(ended, code, JSON.stringify([passing, stopsAt]))
    t.equal(looks, stopsAt + 1)
    t.equal(io.stdout.filter((line) => line.startsWith('#')).length, stopsAt, 'one block each')
  }
})
