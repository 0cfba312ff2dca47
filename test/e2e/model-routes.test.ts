import t from 'tap'
import { megabytes, takeUploads } from '../support/fake-upload.ts'
import { type FakeUpstream, fakeUpstream, type Handler } from '../support/fake-upstream.ts'
import { startGate } from '../support/start-gate.ts'
import { servedBy } from '../support/ask.ts'

// Rows of docs/bad-input.md that are shown here: model-of-a-form-twice, model-behind-the-file,
// model-unknown-to-media.

// Goal: pictures, sound, moderations and videos go to the upstream that has the model they name, under
// the name that it has there, wherever in a form that name stands.
// Method: two upstreams that keep what they get, a real gate, forms written by hand.

const AUDIO = '/v1/audio/transcriptions'
const TYPE = 'multipart/form-data; boundary=xyz'

/** An upstream that keeps bodies, and answers with its own name as bytes of sound. */
function keeps(fake: FakeUpstream, path: string): { readonly bodies: string[]; lengths: string[] } {
  const kept = { bodies: [] as string[], lengths: [] as string[] }
  const handler: Handler = async (req, res) => {
    let body = ''
    try {
      for await (const chunk of req.setEncoding('latin1')) body += String(chunk)
    } catch {
      return
    }
    kept.bodies.push(body)
    kept.lengths.push(req.headers['content-length'] ?? 'chunked')
    res.writeHead(200, { 'content-type': 'audio/wav' })
    res.end(Buffer.from([0xff, 0x00, fake.port & 0xff]))
  }
  fake.handlers.set(path, handler)
  return kept
}

async function two(t: Parameters<typeof startGate>[0], env: Record<string, string> = {}) {
  const a = await fakeUpstream(t, { models: ['chat'] })
  const b = await fakeUpstream(t, { models: ['whisper-1'] })
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: 'a,b',
    GENGATE_A_URL: a.url,
    GENGATE_A_ENGINE: 'openai',
    GENGATE_B_URL: b.url,
    GENGATE_B_ENGINE: 'openai',
    GENGATE_PROBE_INTERVAL_MS: '60000',
    ...env,
  })
  await gate.untilReason('a', 'ok')
  // It lists nothing that chats, so nothing is probed there; it serves by name all the same.
  await gate.untilReason('b', 'model_not_loaded')
  return { a, b, gate }
}

const NAMED = { GENGATE_MODELS: 'talk=a:chat; hear=b:whisper-1' }
const field = (name: string, value: string): string =>
  `--xyz\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
const file = (bytes: string): string =>
  `--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n${bytes}\r\n`
const END = '--xyz--\r\n'
const send = (url: string, path: string, body: string | Buffer, type = TYPE) =>
  fetch(`${url}${path}`, { method: 'POST', headers: { 'content-type': type }, body })
const json = (url: string, path: string, body: object) =>
  send(url, path, JSON.stringify(body), 'application/json')
const codeOf = async (answer: Response) =>
  ((await answer.json()) as { error: { code: string; message: string } }).error

t.test('a spoken text goes to the upstream that has its model, under its own name', async (t) => {
  const { b, gate } = await two(t, NAMED)
  for (const path of [
    '/v1/audio/speech',
    '/v1/images/generations',
    '/v1/moderations',
    '/v1/videos',
  ]) {
    const { bodies } = keeps(b, path)
    const answer = await json(gate.url, path, { input: 'x', model: 'hear', n: 1.0 })
    t.equal(servedBy(answer), 'b', path)
    t.strictSame(Buffer.from(await answer.arrayBuffer()), Buffer.from([255, 0, b.port & 0xff]))
    t.strictSame(bodies, ['{"input":"x","model":"whisper-1","n":1}'])
    const unknown = await json(gate.url, path, { input: 'x', model: 'whisper-1' })
    t.equal(unknown.status, 404, 'no public name')
    t.match(await codeOf(unknown), { code: 'model_not_found' })
  }
})

t.test('a form goes to the upstream that lists its model, byte for byte', async (t) => {
  const { b, gate } = await two(t)
  const { bodies, lengths } = keeps(b, AUDIO)
  const form = field('model', 'whisper-1') + file('sound') + END
  const answer = await send(gate.url, AUDIO, form)
  t.equal(servedBy(answer), 'b')
  t.strictSame(bodies, [form])
  t.strictSame(lengths, [String(form.length)])
  const unknown = await send(gate.url, AUDIO, field('model', 'nobody') + END)
  t.equal(unknown.status, 404)
  t.match(await codeOf(unknown), { code: 'model_not_found', message: /Known: .*whisper-1/ })
})

t.test('a name that is replaced in a form mends its length, also behind the file', async (t) => {
  const { b, gate } = await two(t, NAMED)
  const { bodies, lengths } = keeps(b, AUDIO)
  const sound = 'x'.repeat(200_000)
  for (const parts of [
    (model: string) => field('model', model) + file(sound) + END,
    (model: string) => file(sound) + field('model', model) + END,
    (model: string) => file('small') + field('model', model) + END,
  ]) {
    const answer = await send(gate.url, AUDIO, parts('hear'))
    t.equal(servedBy(answer), 'b')
    await answer.arrayBuffer()
    t.ok(bodies.at(-1) === parts('whisper-1'), 'every other byte as it was')
    t.equal(lengths.at(-1), String(parts('whisper-1').length))
  }
})

t.test('a model behind a file too large to hold goes to the default, and is told', async (t) => {
  const { a, gate } = await two(t, { ...NAMED, GENGATE_BODY_MAX_BYTES: '100000' })
  const { handler, uploads } = takeUploads()
  a.handlers.set(AUDIO, handler)
  const form = file('x'.repeat(200_000)) + field('model', 'hear') + END
  const answer = await send(gate.url, AUDIO, form)
  t.equal(servedBy(answer), 'a')
  t.match(await answer.json(), { bytes: form.length })
  t.equal(uploads.length, 1)
  t.ok(gate.lines.some((line) => /model_unseen/.test(line)))
})

t.test('the only upstream that has the route gets a form whose model is not seen', async (t) => {
  const { b, gate } = await two(t, { GENGATE_A_ENGINE: 'mlx', GENGATE_BODY_MAX_BYTES: '100000' })
  keeps(b, AUDIO)
  const answer = await send(gate.url, AUDIO, file('x'.repeat(200_000)) + END)
  t.equal(servedBy(answer), 'b')
})

t.test('a form with two readings is refused, at its begin and at its end', async (t) => {
  const { a, b, gate } = await two(t, NAMED)
  const kept = [keeps(a, AUDIO), keeps(b, AUDIO)]
  const twice = await send(gate.url, AUDIO, field('model', 'hear') + field('model', 'talk') + END)
  t.equal(twice.status, 400)
  t.match(await codeOf(twice), { code: 'invalid_form', message: /Two parts are named model/ })
  const sound = Buffer.concat([...megabytes(2)])
  const late = Buffer.concat([
    Buffer.from(field('model', 'hear')),
    Buffer.from(file('').slice(0, -2)),
    sound,
    Buffer.from(`\r\n${field('model', 'talk')}${END}`),
  ])
  const answer = await send(gate.url, AUDIO, late)
  t.equal(answer.status, 400)
  t.match(await codeOf(answer), { code: 'invalid_form' })
  const bare = await send(gate.url, AUDIO, 'x', 'multipart/form-data')
  t.match(await codeOf(bare), { code: 'invalid_form', message: /names no boundary/ })
  t.strictSame(
    kept.flatMap(({ bodies }) => bodies),
    [],
    'nobody got one to its end',
  )
})

t.test('a request without a model stays as it is, and other methods pass', async (t) => {
  const { a, gate } = await two(t)
  const { bodies } = keeps(a, '/v1/audio/speech')
  await (await json(gate.url, '/v1/audio/speech', { input: 'x' })).arrayBuffer()
  t.strictSame(bodies, ['{"input":"x"}'], 'no chat model is written into it')
  keeps(a, '/v1/videos')
  t.equal((await fetch(`${gate.url}/v1/videos?limit=2`)).status, 200)
  t.equal((await fetch(`${gate.url}/v1/audio/speech`)).status, 405)
  const broken = await send(gate.url, '/v1/moderations', '{"model":', 'application/json')
  t.match(await codeOf(broken), { code: 'invalid_json' })
})
