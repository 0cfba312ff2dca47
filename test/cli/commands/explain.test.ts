import t from 'tap'
import { showExplanation } from '../../../src/cli/commands/explain.ts'
import { jsonServer } from '../json-server.ts'
import { configOf, recordedIo } from '../recorded-io.ts'

const row = { name: 'a', url: 'http://a', intent: 'enabled', models: ['m'] }
const ok = { ...row, eligible: true, state: 'eligible', reason: 'ok', last_generation_at: 'x' }
const dead = { ...row, eligible: false, state: 'ejected', reason: 'wedged', hint: 'Restart it.' }

async function explainWith(t: Parameters<typeof jsonServer>[0], upstream: object, model: string) {
  const document = { version: '1', uptime_s: 1, upstreams: [upstream] }
  const { port } = await jsonServer(t, { 'GET /gate/status': [200, document] })
  const config = configOf({ GENGATE_PORT: String(port) })
  const [people, programs] = [recordedIo(), recordedIo()]
  const code = await showExplanation(config, { model, json: false }, people)
  t.equal(await showExplanation(config, { model, json: true }, programs), code)
  const json = JSON.parse(programs.stdout.join('\n'))
  t.ok(json.summary.startsWith(people.stdout[0]), 'the sentence of the text')
  return { code, out: people.stdout.join('\n'), json }
}

t.test('showExplanation() ends with 0 exactly when something would serve it', async (t) => {
  t.match(await explainWith(t, ok, 'm'), {
    code: 0,
    out: 'A request for "m" goes to a (http://a): it is eligible.',
    json: { decision: 'forward', upstream: 'a' },
  })
  t.match(await explainWith(t, dead, 'm'), {
    code: 1,
    out: 'Restart it.',
    json: { decision: 'hold', upstream: null },
  })
  t.match(await explainWith(t, ok, 'n'), {
    code: 1,
    out: 'Known: default, m.',
    json: { decision: 'unknown_model', known: ['default', 'm'] },
  })
})

t.test('showExplanation() says what to do where no gate answers', async (t) => {
  const io = recordedIo()
  const config = configOf({ GENGATE_PORT: '1' })
  t.equal(await showExplanation(config, { model: null, json: true }, io), 1)
  t.match(io.stderr.join('\n'), /No gate answers at .*:1 \(ECONNREFUSED\)\. .*gengate serve/)
  t.same(io.stdout, [])
})
