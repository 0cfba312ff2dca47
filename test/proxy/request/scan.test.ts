import t from 'tap'
import { scanBody, scanLargeBody, SLICE_BYTES } from '../../../src/proxy/request/scan.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'

// Rows of docs/bad-input.md that are shown here: key-in-another-case, null-after-a-value,
// token-arrays.

const scan = (body: string | Buffer): ReturnType<typeof scanBody> =>
  scanBody(typeof body === 'string' ? Buffer.from(body) : body)
const inString = (...bytes: number[]): Buffer =>
  Buffer.concat([Buffer.from('{"a":"'), Buffer.from(bytes), Buffer.from('"}')])
const nested = (depth: number): string => `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`
const list = (count: number, item = '1'): string => `{"a":[${`${item},`.repeat(count - 1)}${item}]}`
const members = (count: number): string => `{${'"k":1,'.repeat(count - 1)}"k":1}`
const refused = (code: string, param: string | null = null): object => ({ ok: false, code, param })

t.test('scanBody finds what routing needs, wherever it stands', async (t) => {
  const body =
    '{"messages":[{"role":"user","content":"\\"model\\":\\"x\\""}], "model" : "gemma" ,"stream":true,"n":2,"max_tokens":9}'
  const result = scan(body)
  t.match(result, { ok: true, stream: true, maxTokens: 9, insertAt: 1, empty: false })
  t.equal(result.ok && result.model?.value, 'gemma')
  t.equal(result.ok && result.model && body.slice(result.model.start, result.model.end), '"gemma"')
})

t.test('scanBody: absent fields, null fields, the empty object', async (t) => {
  const numbers = { maxTokens: null }
  const nothing = { model: null, modelSpan: null, stream: false, ...numbers, previousId: null }
  t.strictSame(scan(' { } '), { ok: true, ...nothing, insertAt: 2, empty: true })
  t.match(scan('{"model":null,"stream":null,"n":null,"max_tokens":null}'), {
    model: null,
    modelSpan: { start: 9, end: 13 },
    stream: false,
    maxTokens: null,
  })
  t.match(scan('{"a":{"model":"inner","stream":true}}'), nothing, 'deeper keys do not count')
  t.match(scan('{"a":[{"model":"inner"}],"b":{"stream":1}}'), nothing)
  t.match(scan('{"model":""}'), { model: { value: '' } })
})

t.test('scanBody: the last duplicate counts, in any spelling, as JSON.parse has it', async (t) => {
  t.match(scan('{"model":"a","mod\\u0065l":"b"}'), { model: { value: 'b' } })
  t.match(scan('{"\\u006dodel":"a","model":"b"}'), { model: { value: 'b' } })
  t.match(scan('{"stream":"yes","stream":false}'), { ok: true, stream: false })
  t.match(scan('{"model":7,"model":"b"}'), { model: { value: 'b' } })
  t.match(scan('{"model":null,"model":"b"}'), { model: { value: 'b' } })
})

/** Whether Go's encoding/json reads the key as the field of this name (`foldName` of its fields). */
const GO_READS: readonly (readonly [key: string, field: string | null])[] = [
  ['Model', 'model'],
  ['MODEL', 'model'],
  ['mOdEl', 'model'],
  ['STREAM', 'stream'],
  ['\u017ftream', 'stream'],
  ['Previous_Response_Id', 'previous_response_id'],
  ['previou\u017f_response_id', 'previous_response_id'],
  ['N', 'n'],
  ['Max_Tokens', 'max_tokens'],
  ['max_to\u212aens', 'max_tokens'],
  ['MAX_TO\u212aEN\u017f', 'max_tokens'],
  ['max_completion_to\u212aens', 'max_completion_tokens'],
  ['mod\u00e9l', null],
  ['m\u03bfdel', null],
  ['model ', null],
  ['models', null],
  ['mode', null],
  ['max-tokens', null],
  ['maxtokens', null],
  ['\u017ftreaming', null],
  ['m\u212adel', null],
  ['\uff4dodel', null],
  ['\u0130', null],
  ['', null],
]

const escaped = (key: string): string =>
  Array.from(key, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')

t.test('scanBody: a key that engines in Go read as one of ours is refused', async (t) => {
  for (const [key, field] of GO_READS) {
    for (const spelling of [key, escaped(key)]) {
      const wanted = field === null ? { ok: true } : refused('ambiguous_key', key)
      t.match(scan(`{"${spelling}":null}`), wanted, `${spelling} alone`)
      if (field === null) continue
      t.match(scan(`{"${field}":null,"${spelling}":1}`), wanted, `${spelling} after the exact key`)
      t.match(scan(`{"${spelling}":{},"${field}":null}`), wanted, `${spelling} before it`)
    }
    t.match(scan(`{"a":{"${key}":1},"b":[{"${key}":2}]}`), { ok: true }, `${key}, deeper`)
  }
  t.match(scan('{"Model":"a"'), refused('invalid_json'))
  t.match(scan('{"Model":1,"STREAM":2}'), refused('ambiguous_key', 'Model'), 'the first one')
})

t.test('scanBody: null after a value is read in two ways, so it is refused', async (t) => {
  // Go leaves the value as it is; JSON.parse has null.
  t.match(scan('{"model":"b","model":null}'), refused('ambiguous_key', 'model'))
  t.match(scan('{"stream":true,"\\u0073tream":null}'), refused('ambiguous_key', 'stream'))
  t.match(scan('{"n":null,"n":null}'), { ok: true })
  t.match(scan('{"model":"a","model":null,"model":"b"}'), { model: { value: 'b' } })
})

t.test('scanBody: the larger bound, and none that is none', async (t) => {
  t.match(scan('{"max_tokens":5,"max_completion_tokens":7}'), { maxTokens: 7 })
  t.match(scan('{"max_tokens":5,"max_completion_tokens":null}'), { maxTokens: 5 })
  t.match(scan('{"max_tokens":-1}'), { maxTokens: null })
  t.match(scan('{"max_tokens":1e400}'), { maxTokens: null })
  t.match(scan('{"\\u006e":3,"n":null}'), { code: 'ambiguous_key', param: 'n' })
  t.match(scan('{"n":0}'), { ok: true })
  t.match(scan('{"n":1.5}'), { ok: true })
  t.match(scan('{"n":1000000}'), { ok: true }, 'the upstream says no, not we (B57)')
})

t.test('scanBody: the response that this one goes on from', async (t) => {
  const key = '"previous_response_id"'
  t.match(scan(`{"model":"m",${key}:"resp_1"}`), { previousId: 'resp_1' })
  t.match(scan(`{${key}:"resp_\\u0031\\/"}`), { previousId: 'resp_1/' }, 'as JSON reads it')
  t.match(scan('{"previous\\u005fresponse_id":"a"}'), { previousId: 'a' })
  t.match(scan(`{${key}:"a","\\u0070revious_response_id":"b"}`), { previousId: 'b' })
  for (const value of ['null', '1', 'true', '{}', '[]', '["a"]', `{${key}:"a"}`]) {
    t.match(scan(`{${key}:${value}}`), { ok: true, previousId: null }, value)
  }
  t.match(scan(`{"a":{${key}:"a"},"b":[{${key}:"a"}]}`), { previousId: null }, 'deeper ones do not')
  t.match(scan(`{${key.replace('_id', '_idx')}:"a"}`), { previousId: null })
  t.match(scan(`{${key}:"${'x'.repeat(1_998)}"}`), { previousId: 'x'.repeat(1_998) })
  t.match(scan(`{${key}:"${'x'.repeat(1_999)}"}`), { ok: true, previousId: null }, 'no id of ours')
})

t.test('scanBody B41: what is no JSON object', async (t) => {
  for (const body of ['', ' ', '{', '}', '{"a":1}x', "{'a':1}", '{"a":1,}', '{"a"}', '\uFEFF{}']) {
    t.strictSame(scan(body), refused('invalid_json'), JSON.stringify(body))
  }
  for (const body of ['null', '1', '"x"', '[]', '[{"model":"a"}]', 'true']) {
    t.strictSame(scan(body), refused('invalid_body'), body)
  }
})

t.test('scanBody B42, B43: bytes that are no UTF-8', async (t) => {
  for (const bytes of [
    [0xff],
    [0xc0, 0xae],
    [0xed, 0xa0, 0x80],
    [0xe2, 0x82],
    [0xf5, 0x80, 0x80, 0x80],
  ]) {
    t.strictSame(scan(inString(...bytes)), refused('invalid_utf8'), String(bytes))
  }
  t.match(scan('{"a":"\\ud800"}'), { ok: true }, 'a lone surrogate as an escape passes')
  t.strictSame(scan(Buffer.from('{"a":1}', 'utf16le')), refused('invalid_json'))
})

t.test('scanBody B54, B56: wrong types and names', async (t) => {
  for (const value of [
    '7',
    'true',
    '[]',
    '{}',
    '["a"]',
    `"${'x'.repeat(257)}"`,
    `"${'x'.repeat(5000)}"`,
  ]) {
    t.strictSame(scan(`{"model":${value}}`), refused('invalid_model', 'model'), value.slice(0, 9))
  }
  t.match(scan(`{"model":"${'\\u0041'.repeat(256)}"}`), { model: { value: 'A'.repeat(256) } })
  for (const value of ['"true"', '1', '0', '[]', '{}', '""']) {
    t.strictSame(scan(`{"stream":${value}}`), refused('invalid_type', 'stream'), value)
  }
})

t.test('scanBody B46: prototype names are keys like any other', async (t) => {
  t.match(scan('{"__proto__":{"model":"x"},"constructor":1}'), { ok: true, model: null })
  t.equal(Object.hasOwn(Object.prototype, 'model'), false)
})

t.test('scanBody B47: depth', async (t) => {
  t.match(scan(nested(200)), { ok: true })
  t.strictSame(scan(nested(201)), refused('json_too_deep'))
  t.strictSame(scan('['.repeat(1_000_000)), refused('json_too_deep'))
})

t.test('scanBody B48: size in values, members, digits', async (t) => {
  t.match(scan(`{"input":[${'[1,-2.5e3],'.repeat(499_000)}[1]]}`), { ok: true }, 'token arrays')
  t.match(scan(list(3_000_000)), { ok: true }, 'numbers do not count')
  t.match(scan(list(999_997, '{}')), { ok: true })
  t.strictSame(scan(list(999_999, '{}')), refused('json_too_complex'))
  t.strictSame(scan(list(999_999, 'null')), refused('json_too_complex'))
  t.match(scan(members(100_000)), { ok: true })
  t.strictSame(scan(members(100_001)), refused('json_too_complex'))
  t.match(scan(`{"seed":${'9'.repeat(10_000)}}`), { ok: true })
  t.strictSame(scan(`{"seed":${'9'.repeat(10_001)}}`), refused('json_too_complex'))
})

t.test('scanBody B48: hostile bodies of 8 MB are scanned in a time that is printed', async (t) => {
  const bytes = 8_000_000
  const fill = (part: string): string => part.repeat(Math.ceil(bytes / part.length))
  for (const [name, body] of [
    ['objects', `[${fill('{},')}{}]`],
    ['keys', `{${fill('"mod\\u0065l":"x",')}"z":1}`],
    ['text', `{"a":"${fill('x')}"}`],
    ['escapes', `{"a":"${fill('\\n\\u0041')}"}`],
    ['backslashes', `{"a":"${fill('\\\\')}"}`],
    ['spaces', `{${fill(' ')}}`],
    ['digits', `{"n":${fill('9')}}`],
  ] as const) {
    const buffer = Buffer.from(body)
    const from = process.hrtime.bigint()
    t.type(scanBody(buffer).ok, 'boolean', name)
    const ms = Number(process.hrtime.bigint() - from) / 1e6
    // A quadratic scan would take minutes and meet the runner's own limit.
    t.comment(`${name}: ${ms.toFixed(1)} ms`)
  }
})

t.test('scanLargeBody() rests after each slice, inside of whatever that ends', async (t) => {
  for (const [name, unit] of [
    ['text', 'x'],
    ['escapes', '\\n'],
    ['escapes of letters', '\\u0065'],
    ['white space', ' '],
  ] as const) {
    const fill = unit.repeat(Math.ceil((3 * SLICE_BYTES) / unit.length))
    const body = name === 'white space' ? `{"a":${fill}1` : `{"a":"${fill}"`
    const bytes = Buffer.from(`${body},"model":"m"}`)
    const clock = new VirtualClock()
    const scan = scanLargeBody(bytes, clock)
    for (let turn = 1; turn <= 3; turn++) {
      t.equal(clock.pending, 1, `${name}: others have their turn`)
      await clock.advance(1)
    }
    t.equal(clock.pending, 0)
    t.strictSame(await scan, scanBody(bytes), name)
    t.match(await scan, { ok: true, model: { value: 'm' } })
  }
  const broken = Buffer.from(`{"a":"${'x'.repeat(SLICE_BYTES)}`)
  t.match(await scanLargeBody(Buffer.from('{"a":'), new VirtualClock()), { code: 'invalid_json' })
  const clock = new VirtualClock()
  const scan = scanLargeBody(broken, clock)
  await clock.advance(1)
  t.match(await scan, { code: 'invalid_json' })
})
