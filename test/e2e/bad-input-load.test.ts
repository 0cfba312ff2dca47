import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import {
  ask,
  CHAT,
  chat,
  get,
  GOOD,
  isSound,
  JSON_LINE,
  RawClient,
  request,
  startPair,
} from '../support/raw.ts'
import { sized } from '../support/soak.ts'

// Goal: no input stalls the gate for long, and none makes it grow (bad-input matrix B47, B48, B60,
// B67). The stalls are printed, not judged: client, gate and other tests share two cores here.
// Method: the worst bodies that the limits let in, then many distinct names of everything.

const pair = await startPair(t)
const MIB = 1024 * 1024

const heavy: Record<string, () => string> = {
  'B47 a million arrays deep': () => `{"a":${'['.repeat(1_000_000)}`,
  'B48 30 MB of empty objects': () => `{"a":[${'{},'.repeat(10_000_000)}0]}`,
  'B48 a million keys': () =>
    `{${Array.from({ length: 1_000_000 }, (_, i) => `"k${i}":0`).join()}}`,
  'B48 99,999 keys that begin with an escape': () =>
    `{${Array.from({ length: 99_999 }, (_, i) => `"\\u006dode${i}":0`).join()}`,
  'B48 999,000 strings of 60 bytes': () => `{"a":[${`"${'x'.repeat(60)}",`.repeat(999_000)}`,
  'B48 a number of ten million digits': () => `{"a":${'1'.repeat(10_000_000)}}`,
  'B48 6,000 numbers of 9,999 digits': () => `{"a":[${`${'1'.repeat(9_999)},`.repeat(6_000)}`,
  'B48 60 MiB of white space': () => `{${' '.repeat(60 * MIB)}`,
  'B48 60 MiB of text without its end': () => `{"a":"${'x'.repeat(60 * MIB)}`,
  'B48 60 MiB of short escapes': () => `{"a":"${'\\n'.repeat(30 * MIB)}`,
  'B48 60 MiB of long escapes': () => `{"a":"${'\\u0061'.repeat(10 * MIB)}`,
  'B48 60 MiB of two-byte letters': () => `{"a":"${'\xc3\xa9'.repeat(30 * MIB)}`,
  'B48 a model of 60 MiB': () => `{"model":"${'\\u006d'.repeat(10 * MIB)}"}`,
  'B48 a million models': () => `{${'"model":"m",'.repeat(99_000)}`,
}
for (const [name, build] of Object.entries(heavy)) {
  t.test(`${name} is refused, and its stall is printed`, async (t) => {
    const bytes = Buffer.from(chat({ body: build() }), 'latin1')
    await new Promise((resolve) => setTimeout(resolve, 20))
    const delay = monitorEventLoopDelay({ resolution: 1 })
    const client = new RawClient(pair.gate.port)
    delay.enable()
    client.send(bytes)
    const answer = await client.answer({ limitMs: 20_000 })
    delay.disable()
    t.equal(answer?.status, 400)
    const stallMs = Math.round(delay.max / 1e6)
    t.comment(`${name}: stall ${stallMs} ms`)
    client.destroy()
  })
}

async function metricLines(): Promise<string[]> {
  const text = await (await fetch(`${pair.gate.url}/metrics`)).text()
  // The values change; what there is must not. The process's own (handles, lag) come and go.
  return text
    .split('\n')
    .filter((line) => line.startsWith('gengate_'))
    .map((line) => line.replace(/ \S+$/, ''))
    .toSorted()
}

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void
function heapMb(): number {
  pair.gate.lines.length = 0
  pair.upstream.seen.length = 0
  gc()
  return process.memoryUsage().heapUsed / MIB
}

/** Asks these on eight connections, fifteen at a time on each. */
async function askAll(count: number, build: (i: number) => string, status: number) {
  let wrong = 0
  let next = 0
  const work = async (): Promise<void> => {
    const client = new RawClient(pair.gate.port)
    while (next < count) {
      const from = next
      next += 15
      client.send(Array.from({ length: 15 }, (_, i) => build(from + i)).join(''))
      for (let i = 0; i < 15; i++) if ((await client.answer())?.status !== status) wrong++
    }
    client.destroy()
  }
  await Promise.all(Array.from({ length: 8 }, work))
  return wrong
}

const kinds: readonly (readonly [string, number, (i: number) => string])[] = [
  ['models', 404, (i) => chat({ body: GOOD.replace('default', `model-${i}`) })],
  ['models asked for', 404, (i) => get(`/v1/models/model-${i}`)],
  ['paths', 404, (i) => get(`/v1/path-${i}`)],
  ['paths outside', 404, (i) => get(`/path-${i}`)],
  ['header names', 200, (i) => get('/livez', [`X-Name-${i}: a`])],
  [
    'header values',
    200,
    (i) => get('/livez', [`Accept: a/${i}`, `User-Agent: a${i}`, `X-Request-Id: a${i}`]),
  ],
  ['content types', 415, (i) => chat({ type: `Content-Type: text/x-${i}` })],
  ['hosts', 421, (i) => get('/metrics', []).replace('127.0.0.1', `host-${i}.example`)],
  ['origins', 403, (i) => get('/metrics', [`Origin: https://o${i}.example`])],
]
t.test('B60 distinct models, paths and headers grow neither series nor memory', async (t) => {
  const count = sized(1_000, 20_000)
  for (const [, status, build] of kinds) await askAll(150, build, status)
  const before = await metricLines()
  const heapBefore = heapMb()
  for (const [name, status, build] of kinds) {
    t.equal(await askAll(count, (i) => build(1_000 + i), status), 0, name)
    pair.gate.lines.length = 0
  }
  t.strictSame(await metricLines(), before)
  const grownMb = heapMb() - heapBefore
  t.comment(`heap grew by ${grownMb.toFixed(1)} MiB over ${count * kinds.length} requests`)
  t.ok(grownMb < 20)
})

t.test('B67 nothing that a client sends makes a line of its own, or colours one', async (t) => {
  const evil = 'x\x1b[31m\x85\x9b\xe2\x80\xa8'
  const before = pair.gate.lines.length
  for (const send of [
    get(`/v1/${evil}`),
    get('/v1/%0a%0d%1b[31m'),
    get('/v1/%E2%80%A8%C2%85{"level":"error"}'),
    get(`/v1/models/%22%0A`),
    get('/livez', [`X-Request-Id: ${evil}`]),
    chat({ body: GOOD.replace('default', 'a\\n{\\"level\\":\\"error\\"}\\u001b[31m') }),
    request('POST', CHAT, { lines: [`${JSON_LINE}${evil}`], body: GOOD }),
    chat({ lines: ['Origin: https://a\xe2\x80\xa8b'] }),
  ]) {
    await ask(pair.gate, send)
  }
  const lines = pair.gate.lines.slice(before)
  t.ok(lines.length >= 6)
  for (const line of lines) {
    t.match(JSON.parse(line), { level: /^(debug|info|warn)$/ })
    t.notMatch(line.slice(0, -1), /[\p{Cc}\p{Zl}\p{Zp}]/u)
  }
})

t.test('the gate is sound after all of it', (t) => isSound(t, pair))
