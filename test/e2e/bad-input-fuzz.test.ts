import t from 'tap'
import {
  CHAT,
  chat,
  crashesDuring,
  get,
  GOOD,
  isSound,
  JSON_LINE,
  RawClient,
  request,
  startPair,
} from '../support/raw.ts'
import { sized } from '../support/soak.ts'

// Goal: whatever bytes come, the gate answers or closes, in time, in its own words, and lives on.
// Method: good requests with seeded mutations. A failure names its seed: FUZZ_SEED=… runs it alone.

const RUNS = sized(1_500, 1_000_000)
const AT_ONCE = 50
const FIRST = process.env['FUZZ_SEED']
/** Of a million, one takes about a millisecond of each core. */
const LIMIT_MS = 60_000 + RUNS * 6
t.setTimeout(LIMIT_MS)
const pair = await startPair(t, { GENGATE_BODY_MAX_BYTES: '65536' })

/** mulberry32: small, seeded, good enough for choosing. */
function randomOf(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const size = GOOD.length.toString(16)
const GOOD_ONES = [
  chat(),
  chat({ body: GOOD.replace('{', '{"stream":true,') }),
  get('/livez'),
  get('/v1/models'),
  get('/v1/models/a%2Fb'),
  get('/readyz?verbose&model=m'),
  get('/metrics'),
  get('/gate/status'),
  request('HEAD', '/v1/models'),
  request('OPTIONS', '*'),
  request('OPTIONS', CHAT, {
    lines: ['Origin: http://a.example', 'Access-Control-Request-Method: POST'],
  }),
  request('POST', '/v1/embeddings', { lines: [JSON_LINE], body: '{"model":"m","input":"a"}' }),
  request('POST', `http://localhost${CHAT}?a=b`, { lines: [JSON_LINE], body: GOOD }),
  `${request('POST', CHAT, { lines: [JSON_LINE, 'Transfer-Encoding: chunked'] })}${size};a=b\r\n${GOOD}\r\n0\r\nX-Trailer: a\r\n\r\n`,
  chat({ lines: ['Expect: 100-continue', 'Connection: close'] }),
  // Bodies that go on as they arrive, and what else is the upstream's to answer.
  request('POST', '/v1/audio/transcriptions', {
    lines: ['Content-Type: multipart/form-data; boundary=x'],
    body: '--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nhello\r\n--x--\r\n',
  }),
  `${request('PUT', '/v1/files/x?a=b', { lines: [JSON_LINE, 'Transfer-Encoding: chunked'] })}${size}\r\n${GOOD}\r\n0\r\n\r\n`,
  request('DELETE', '/v1/files/x'),
  request('POST', '/v1/responses', { lines: [JSON_LINE], body: '{"model":"m","input":"a"}' }),
  get('/v1/responses/resp_1'),
  get('/v1/realtime', ['Connection: Upgrade', 'Upgrade: websocket']),
  'CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n',
  'GET /livez HTTP/1.0\r\n\r\n',
]
const TOKENS = [
  ...'\r\n\0 \t:/%?#*@"\\{}[\xff\xc3',
  '\r\n',
  '\r\n\r\n',
  '..',
  '%2e',
  '%00',
  '//',
  '\\u0000',
  'Content-Length: 5\r\n',
  'Content-Length: -1\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: gzip\r\n',
  'Host: evil\r\n',
  'Connection: close\r\n',
  'Connection: upgrade\r\nUpgrade: h2c\r\n',
  'Expect: 100-continue\r\n',
  'Origin: null\r\n',
  '__proto__: a\r\n',
  'Via: 1.1 gengate-x\r\n',
  'X-Request-Id: a\r\n',
  'HTTP/1.1',
  'HTTP/1.0',
  'POST',
  '0\r\n\r\n',
  'ffffffffffffffff',
  'a'.repeat(9_000),
  'a: b\r\n'.repeat(300),
]

function mutant(seed: number): string {
  const random = randomOf(seed)
  const below = (n: number): number => Math.floor(random() * n)
  const pick = (from: readonly string[]): string => from[below(from.length)] ?? ''
  let bytes = pick(GOOD_ONES)
  if (random() < 0.2) bytes += pick(GOOD_ONES)
  for (let rounds = 1 + below(4); rounds > 0; rounds--) {
    const at = below(bytes.length + 1)
    const end = at + 1 + below(12)
    const kinds = [
      () => bytes.slice(0, at) + String.fromCharCode(below(256)) + bytes.slice(at + 1),
      () => bytes.slice(0, at) + bytes.slice(end),
      () => bytes.slice(0, end) + bytes.slice(at),
      () => bytes.slice(0, at) + pick(TOKENS) + bytes.slice(at),
      () => bytes.slice(0, at) + pick(TOKENS) + bytes.slice(at),
      () => bytes.slice(0, at) + pick(GOOD_ONES).slice(below(40)),
      () => bytes.slice(0, at),
      () => bytes.replace(/\d+/, () => String(below(1_000))),
    ]
    bytes = kinds[below(kinds.length)]?.() ?? bytes
  }
  return bytes
}

/** What went wrong with this seed; null: nothing. */
async function faultOf(seed: number): Promise<string | null> {
  const bytes = mutant(seed)
  const client = new RawClient(pair.gate.port)
  const half = Math.floor(bytes.length * randomOf(-seed)())
  if (seed % 3 === 0) {
    client.send(bytes.slice(0, half))
    await new Promise((resolve) => setTimeout(resolve, 3))
    client.send(bytes.slice(half))
  } else client.send(bytes)
  // Many mutants are the beginning of something: then silence is right, until the client ends.
  await client.answer({ limitMs: 60 })
  const before = client.rest
  if (seed % 5 === 0 && !client.closed) client.socket.resetAndDestroy()
  else client.socket.end()
  const closed = await client.isClosed(5_000)
  client.destroy()
  if (!closed) return `seed ${seed}: still open`
  if (/internal_error|HTTP\/1\.1 500/.test(before)) return `seed ${seed}: a bug of ours`
  if (before !== '' && !/^[\s\S]*HTTP\/1\.1 \d{3} /.test(before) && before.startsWith('HTTP'))
    return `seed ${seed}: no HTTP`
  return null
}

const long = { timeout: LIMIT_MS }
t.test('mutated requests are answered or closed, the gate lives on', long, async (t) => {
  const faults: string[] = []
  const from = FIRST === undefined ? 0 : Number(FIRST)
  const to = FIRST === undefined ? RUNS : from + 1
  const crashes = await crashesDuring(async () => {
    let next = from
    const work = async (): Promise<void> => {
      while (next < to) {
        const fault = await faultOf(next++)
        if (fault !== null) faults.push(fault)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
  })
  t.strictSame(faults.slice(0, 5), [])
  t.strictSame([...new Set(crashes)], [])
  t.equal(pair.gate.reason('a')?.startsWith('ok'), true, 'and its upstream is still good')
})

t.test('nothing is left of it', async (t) => {
  const inFlight = async (): Promise<number> => {
    const answer = await fetch(`${pair.gate.url}/gate/status`)
    const status = (await answer.json()) as { upstreams: { in_flight: number }[] }
    return status.upstreams[0]?.in_flight ?? 99
  }
  let left = await inFlight()
  for (let i = 0; i < 50 && left > 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    left = await inFlight()
  }
  t.equal(left, 0)
  await isSound(t, pair)
})
