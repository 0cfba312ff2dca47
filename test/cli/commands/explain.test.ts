import t from 'tap'
import { gateStatus, jsonServer } from '../json-server.ts'
import { gengate } from '../recorded-io.ts'

const row = { name: 'a', url: 'http://a', intent: 'enabled', models: ['m'] }
const ok = { ...row, eligible: true, state: 'eligible', reason: 'ok', last_generation_at: 'x' }
const dead = { ...row, eligible: false, state: 'ejected', reason: 'wedged', hint: 'Restart it.' }

async function explainWith(t: Parameters<typeof jsonServer>[0], upstream: object, model: string) {
  const { port } = await jsonServer(t, gateStatus(upstream))
  const env = { GENGATE_PORT: String(port) }
  const people = await gengate(['explain', model], env)
  const programs = await gengate(['explain', model, '--json'], env)
  t.equal(programs.code, people.code)
  const json = JSON.parse(programs.out)
  t.ok(json.summary.startsWith(people.out.split('\n')[0]), 'the sentence of the text')
  return { ...people, json }
}

t.test('explain ends with 0 exactly when something would serve it', async (t) => {
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

t.test('explain says what to do where no gate answers', async (t) => {
  const { code, out, err } = await gengate('explain --json', { GENGATE_PORT: '1' })
  t.same([code, out], [1, ''])
  t.match(err, /No gate answers at .*:1 \(ECONNREFUSED\)\. .*gengate serve/)
})
