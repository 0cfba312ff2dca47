import { isUtf8 } from 'node:buffer'
import * as fc from 'fast-check'
import t from 'tap'
import { type ScanResult, scanBody, Walk } from '../../src/proxy/request/scan.ts'
import { holds } from '../support/property.ts'

const READ = 'model stream n max_tokens max_completion_tokens previous_response_id'.split(' ')

/** A key as Go's encoding/json compares it with a name in ASCII. */
function folded(key: string): string {
  const plain = key.replaceAll('\u017f', 's').replaceAll('\u212a', 'k')
  return plain.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())
}

/** What a reader with JSON.parse would make of the same bytes. */
function reference(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) return 'invalid_utf8'
  let body: unknown
  try {
    body = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    return 'invalid_json'
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return 'invalid_body'
  const fields = body as Record<string, unknown>
  if (Object.keys(fields).some((key) => !READ.includes(key) && READ.includes(folded(key)))) {
    return 'ambiguous_key'
  }
  const model = fields['model'] ?? null
  if (model !== null && (typeof model !== 'string' || model.length > 256)) return 'invalid_model'
  const stream = fields['stream'] ?? false
  if (typeof stream !== 'boolean') return 'invalid_type'
  const bounds = [fields['max_tokens'], fields['max_completion_tokens']].filter(
    (bound): bound is number => typeof bound === 'number' && Number.isFinite(bound) && bound >= 0,
  )
  const { previous_response_id: previousId } = fields
  return {
    model,
    stream,
    maxTokens: bounds.length === 0 ? null : Math.max(...bounds),
    previousId: typeof previousId === 'string' ? previousId : null,
    empty: Object.keys(body).length === 0,
  }
}

/** The same of the scanner; its spans must be what they claim to be. */
function summary(bytes: Buffer, scan: ScanResult): unknown {
  if (!scan.ok) return scan.code
  const { model, modelSpan, stream, maxTokens, previousId, insertAt, empty } = scan
  if (bytes[insertAt - 1] !== 0x7b) return 'insertAt is not after a brace'
  if (model !== null) {
    const token: unknown = JSON.parse(bytes.subarray(model.start, model.end).toString())
    if (token !== model.value) return 'the span is not the token'
    if (modelSpan?.start !== model.start || modelSpan.end !== model.end) return 'two spans'
  } else if (modelSpan !== null) {
    const token = bytes.subarray(modelSpan.start, modelSpan.end).toString()
    if (token !== 'null') return 'a span without a name'
  }
  return { model: model?.value ?? null, stream, maxTokens, previousId, empty }
}

/** Does the body go on from an earlier response? */
function goesOn(read: unknown): boolean {
  return typeof (read as { previousId?: unknown }).previousId === 'string'
}

function agrees(bytes: Buffer): boolean {
  const scan = scanBody(bytes)
  const ours = summary(bytes, scan)
  const theirs = reference(bytes)
  if (ours === 'ambiguous_key' && theirs !== ours) {
    // JSON.parse tells of no duplicate: its value must at least be the null that makes it one.
    const fields = JSON.parse(bytes.toString()) as Record<string, unknown>
    return !scan.ok && fields[scan.param ?? ''] === null
  }
  return JSON.stringify(ours) === JSON.stringify(theirs)
}

const space = fc.stringMatching(/^[ \t\n\r]{0,3}$/)
/** A string as JSON text, some characters as escapes. */
const text = (value: string, seed: number): string =>
  `"${Array.from(value, (char, i) => {
    const plain = JSON.stringify(char).slice(1, -1)
    const odd = (seed >> (i % 8)) % 2 === 1
    if (char === '/' && odd) return '\\/'
    if (!odd || char.length > 1) return plain
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  }).join('')}"`
const strings = fc
  .tuple(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('x'.repeat(256), 'é'.repeat(257), '"', '\\', '😀', '\u2028'),
    ),
    fc.nat(255),
  )
  .map(([value, seed]) => text(value, seed))
const numbers = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.integer().map(String),
  fc.constantFrom('-0', '0', '1e400', '-1E-5', '1E5', '12345678901234567890', '0.10', '1e+2'),
)
const KEYS =
  'model stream n max_tokens max_completion_tokens previous_response_id previous_response_id previous_response_id previous_response_ids messages Model mode \u017ftream max_to\u212aens N models __proto__'
const keys = fc
  .tuple(fc.constantFrom(...KEYS.split(' '), ''), fc.oneof(fc.constant(0), fc.nat(255)))
  // A key of one letter stays plain: JSON.parse itself reads `"\u006e"` as a backslash where an
  // object with the key `\` came before it (V8 14.6, Node 26.10).
  .map(([key, seed]) => text(key, key.length === 1 ? 0 : seed))
const values = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom('true', 'false', 'null', '{}', '[]', '[ ]', '{\n}'),
    strings,
    numbers,
    fc
      .tuple(fc.array(tie('value'), { maxLength: 3 }), space)
      .map(([items, s]) => `[${s}${items.join(`${s},${s}`)}${s}]`),
    fc
      .tuple(fc.array(fc.tuple(keys, tie('value')), { maxLength: 5 }), space)
      .map(([members, s]) => {
        const inner = members.map(([key, value]) => `${key}${s}:${s}${value}`)
        return `{${s}${inner.join(`${s},${s}`)}${s}}`
      }),
  ),
})).value
const bodies = fc
  .tuple(fc.array(fc.tuple(keys, values), { maxLength: 8 }), space, space)
  .map(([members, s, around]) => {
    const inner = members.map(([key, value]) => `${key}${s}:${s}${value}`)
    return `${around}{${s}${inner.join(`${s},${s}`)}${s}}${around}`
  })

t.test('scanBody agrees with JSON.parse on valid bodies, duplicates and escapes', async (t) => {
  const seen: Record<string, number> = {}
  holds(
    t,
    'same verdict, same fields',
    fc.property(bodies, (body) => {
      const bytes = Buffer.from(body)
      const theirs = reference(bytes)
      const kind = typeof theirs === 'string' ? theirs : 'ok'
      seen[kind] = (seen[kind] ?? 0) + 1
      if (goesOn(theirs)) seen['previous'] = (seen['previous'] ?? 0) + 1
      return agrees(bytes)
    }),
    3000,
  )
  t.ok((seen['ok'] ?? 0) > 300 && (seen['invalid_model'] ?? 0) > 100, JSON.stringify(seen))
  t.ok((seen['previous'] ?? 0) > 20, JSON.stringify(seen))
})

t.test('scanBody agrees with JSON.parse on which response a body goes on from', async (t) => {
  const key = fc.nat(255).map((seed) => text('previous_response_id', seed))
  const member = fc.tuple(fc.oneof({ weight: 3, arbitrary: key }, keys), fc.oneof(strings, values))
  const several = fc
    .array(member, { minLength: 1, maxLength: 5 })
    .map((members) => `{${members.map(([name, value]) => `${name}:${value}`).join(',')}}`)
  let goingOn = 0
  holds(
    t,
    'the last one counts, in any spelling, and only a string',
    fc.property(several, (body) => {
      if (goesOn(reference(Buffer.from(body)))) goingOn++
      return agrees(Buffer.from(body))
    }),
    2000,
  )
  t.ok(goingOn > 500, `${goingOn} of them had one`)
})

t.test('scanBody agrees with JSON.parse on any JSON text', async (t) => {
  holds(
    t,
    'any value',
    fc.property(values, (value) => agrees(Buffer.from(value))),
    2000,
  )
  holds(
    t,
    'fc.json',
    fc.property(fc.json(), (value) => agrees(Buffer.from(value))),
    1000,
  )
})

t.test('scanBody agrees with JSON.parse on damaged bodies', async (t) => {
  const interesting = fc.oneof(
    fc.nat(255),
    fc.constantFrom(...Buffer.from('"\\{}[],:0123456789eE+-.tfnu \n\t\r\0\x1f\x7f/')),
  )
  const change = fc.record({
    at: fc.nat(),
    byte: interesting,
    kind: fc.constantFrom('set', 'insert', 'delete'),
  })
  holds(
    t,
    'bytes set, inserted and deleted',
    fc.property(bodies, fc.array(change, { minLength: 1, maxLength: 3 }), (body, changes) => {
      const bytes = [...Buffer.from(body)]
      for (const { at, byte, kind } of changes) {
        const i = at % (bytes.length + 1)
        if (kind === 'insert') bytes.splice(i, 0, byte)
        else if (kind === 'delete') bytes.splice(i, 1)
        else bytes[i] = byte
      }
      return agrees(Buffer.from(bytes))
    }),
    5000,
  )
  holds(
    t,
    'truncations',
    fc.property(bodies, fc.nat(), (body, at) => {
      const bytes = Buffer.from(body)
      return agrees(bytes.subarray(0, at % (bytes.length + 1)))
    }),
    2000,
  )
})

const TOKENS =
  '{·}·[·]·,·:·"·\\·"a"·"model"·1·-·.·e·true·nul·null· ·\\u006d·\\u00·\x01·\u00e9·\uFEFF'

t.test('scanBody agrees with JSON.parse on arbitrary bytes', async (t) => {
  const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
  holds(t, 'noise', fc.property(bytes, agrees), 2000)
  const tokens = fc.array(fc.constantFrom(...TOKENS.split('·')), { maxLength: 12 })
  const joined = tokens.map((list) => Buffer.from(list.join('')))
  holds(t, 'tokens in any order', fc.property(joined, agrees), 5000)
})

t.test('Walk comes to the same whatever it rests at', async (t) => {
  const broken = fc.tuple(bodies, fc.nat(), fc.constantFrom('', '"', '\\', '{', '7', ' '))
  let rests = 0
  holds(
    t,
    'in steps of some bytes and at once, whole or damaged',
    fc.property(
      broken,
      fc.boolean(),
      fc.integer({ min: 1, max: 9 }),
      ([body, at, put], whole, step) => {
        const text = Buffer.from(body)
        const cut = at % (text.length + 1)
        const bytes = whole
          ? text
          : Buffer.concat([text.subarray(0, cut), Buffer.from(put), text.subarray(cut + 1)])
        const once = new Walk(bytes)
        const flaw = once.run(bytes.length)
        const steps = new Walk(bytes)
        let stop = step
        let other = steps.run(stop)
        while (other === undefined) {
          if (stop >= bytes.length) return false
          rests++
          stop += step
          other = steps.run(stop)
        }
        const model = JSON.stringify(once.spans.model)
        const same = JSON.stringify(steps.spans.model) === model
        return other === flaw && same && steps.members === once.members
      },
    ),
    3000,
  )
  t.ok(rests > 10_000, `${rests} rests`)
})
