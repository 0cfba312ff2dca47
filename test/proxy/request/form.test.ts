import * as fc from 'fast-check'
import t from 'tap'
import { holds } from '../../support/property.ts'
import { boundaryOf, FormScan } from '../../../src/proxy/request/form.ts'

const part = (head: string, body = ''): string => `--xyz\r\n${head}\r\n\r\n${body}\r\n`
const field = (name: string, value: string): string =>
  part(`Content-Disposition: form-data; name="${name}"`, value)
const file = (bytes: string): string =>
  part(
    'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav',
    bytes,
  )
const END = '--xyz--\r\n'

/** What a scan of these bytes came to, given in chunks of this size, or cut at one place. */
function scanned(form: string | Buffer, cut: number | { readonly every: number } = 0) {
  const bytes = Buffer.from(form)
  const scan = new FormScan('xyz')
  if (typeof cut === 'number') {
    scan.push(bytes.subarray(0, cut))
    scan.push(bytes.subarray(cut))
  } else {
    for (let at = 0; at < bytes.length; at += cut.every) {
      const chunk = Buffer.from(bytes.subarray(at, at + cut.every))
      scan.push(chunk)
      // As when its memory is freed.
      chunk.fill(0x58)
    }
  }
  const { model, fault, ended } = scan
  return { model, fault, ended, text: model && bytes.subarray(model.start, model.end).toString() }
}

const HARD = 'a\r\n--xy\r\r\n--x\r\n-\r\n--xyy --xyz'

t.test('the model of a form is found wherever its bytes are cut', async (t) => {
  const forms = {
    first: field('model', 'whisper-1') + file(HARD) + END,
    last: file(HARD) + field('language', 'de') + field('model', 'größe 大') + END,
    'with a preamble and an epilogue': `hello\r\n${field('model', 'm')}${END}--xyz\r\nmore`,
    empty: field('model', '') + file(HARD) + END,
    hard: field('model', HARD) + END,
    'as a bare token, with spaces': `${part('content-disposition:form-data ;name=model', 'm')}${END}`,
    'with a boundary that is padded':
      field('a', 'b') + field('model', 'm').replace('z\r', 'z \t\r') + END,
  }
  for (const [name, form] of Object.entries(forms)) {
    const whole = scanned(form)
    t.equal(whole.text, whole.model?.value, name)
    t.ok(whole.ended, name)
    let same = true
    const size = Buffer.byteLength(form)
    for (let cut = 1; cut < size; cut++) {
      same &&= JSON.stringify(scanned(form, cut)) === JSON.stringify(whole)
    }
    for (const every of [1, 2, 3, 7]) {
      same &&= JSON.stringify(scanned(form, { every })) === JSON.stringify(whole)
    }
    t.ok(same, `${name}: cut anywhere`)
  }
})

t.test('a form that one engine may read otherwise than another is refused', async (t) => {
  const why = (form: string) => {
    const { fault, model } = scanned(form)
    const bytewise = scanned(form, { every: 1 })
    t.strictSame(bytewise.fault, fault, 'byte by byte')
    return fault === null ? `found ${model?.value}` : `${fault.code} ${fault.detail}`
  }
  const named = (rest: string) => part(`Content-Disposition: form-data; ${rest}`, 'm') + END
  t.match(why(field('model', 'a') + field('model', 'b') + END), 'Two parts are named model.')
  t.match(why(named('name="model"; filename="x"')), 'is a file')
  t.match(why(named('name="model"; name="x"')), 'more than one name')
  t.match(why(named("name*=utf-8''model")), 'more than one name')
  t.match(why(named('name="model" junk')), 'cannot be read')
  t.match(why(named('name="model')), 'cannot be read')
  t.match(
    why(
      part(
        'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="model"',
      ),
    ),
    'two Content-Dispositions',
  )
  t.match(why(part('Content-Disposition: form-data;\r\n name="model"', 'm')), 'folded')
  const quoted = 'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64'
  t.match(why(part(quoted, 'bQ==') + END), 'encoded')
  t.match(why('--xyz\nContent-Disposition: form-data; name="model"\n\nm\n--xyz--\n'), 'line end')
  t.match(why(`--xyz\r\n${'a'.repeat(9_000)}`), 'too large')
  t.equal(why(field('model', 'x'.repeat(257)) + END), 'invalid_model ')
  t.equal(why(field('model', 'x'.repeat(20_000))), 'invalid_model ', 'before its end')
  t.equal(why(field('model', 'x'.repeat(256)) + END), `found ${'x'.repeat(256)}`)
  t.equal(
    scanned(
      Buffer.concat([
        Buffer.from('--xyz\r\nContent-Disposition: form-data; name=model\r\n\r\n'),
        Buffer.from([0xff]),
        Buffer.from(`\r\n${END}`),
      ]),
    ).fault?.code,
    'invalid_model',
  )
})

t.test('what has no model is no fault', async (t) => {
  const without = { model: null, fault: null }
  t.match(scanned(file('x') + END), without)
  t.match(scanned('no form at all'), without)
  t.match(scanned(part('Content-Type: text/plain', 'm') + END), without)
  t.match(scanned(`--xyz\r\n\r\nm\r\n${END}`), { ...without, ended: true })
  t.match(scanned(field('MODEL', 'm') + END), without)
  t.match(
    scanned(part('Content-Disposition: form-data; name="f"; filename="a\\"', 'm') + END),
    without,
  )
})

t.test('boundaryOf() reads the one boundary of a form', async (t) => {
  t.equal(
    boundaryOf('multipart/form-data; boundary=----WebKitFormBoundaryAb12'),
    '----WebKitFormBoundaryAb12',
  )
  t.equal(boundaryOf('multipart/form-data; charset=utf-8; Boundary="a b?c"'), 'a b?c')
  for (const bad of [
    '',
    '; boundary=',
    '; boundary=a; boundary=b',
    `; boundary=${'x'.repeat(71)}`,
    '; boundary="a{b"',
  ]) {
    t.equal(boundaryOf(`multipart/form-data${bad}`), null, bad)
  }
})

t.test('FormScan comes to the same wherever any form is cut', async (t) => {
  const piece = fc.constantFrom('--xyz', '\r\n', '--', HARD, 'name="model"', 'x', ' ')
  const body = fc.oneof(
    fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join('')),
    fc.constantFrom(field('model', 'm'), file(HARD), END),
  )
  const chunk = fc.integer({ min: 1, max: 60 })
  const property = fc.property(fc.array(body, { maxLength: 4 }), chunk, (parts, every) => {
    const form = parts.join('')
    return JSON.stringify(scanned(form, { every })) === JSON.stringify(scanned(form))
  })
  holds(t, 'the same', property, 500)
})

t.test('FormScan reads what a client library writes', async (t) => {
  const form = new FormData()
  form.append('file', new Blob([HARD]), 'a "b".wav')
  form.append('prompt', 'größe')
  form.append('model', 'whisper "1"')
  const encoded = new Response(form)
  const scan = new FormScan(boundaryOf(encoded.headers.get('content-type') ?? '') ?? '')
  scan.push(Buffer.from(await encoded.arrayBuffer()))
  t.equal(scan.model?.value, 'whisper "1"')
  t.equal(scan.fault, null)
})
