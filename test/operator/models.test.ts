import { plainModel } from '../../src/core/listed-model.ts'
import t from 'tap'
import { modelAnswer, modelsAnswer } from '../../src/operator/models.ts'
import { spec, tableConfig, World } from '../support/world.ts'

const context = { requestId: 'r1', nowMs: 5_000, startedWallMs: 1_800_000_000_500 }
const refused = { kind: 'fail', reason: 'refused', detail: 'ECONNREFUSED' } as const
const model = (id: string, owner: string) => ({
  id,
  object: 'model',
  created: 1_800_000_000,
  owned_by: owner,
})
const toy = 'gengate/toy'

const world = (): World =>
  new World(
    tableConfig({
      specs: [
        spec({ name: 'a', engine: 'ollama' }),
        spec({ name: 'b', engine: 'embedded', model: toy }),
      ],
    }),
  )

t.test('modelsAnswer() lists what servable upstreams have, in the OpenAI shape', async (t) => {
  const two = world().pass('a').pass('b')
  two.tell('a', { type: 'models', at: 0, models: ['llama', 'qwen'].map(plainModel) })
  const { status, body, headers } = modelsAnswer(two.table, context)
  t.equal(status, 200)
  t.equal(headers['content-type'], 'application/json')
  t.strictSame(JSON.parse(body), {
    object: 'list',
    data: [
      model('default', 'gengate'),
      model(toy, 'embedded'),
      model('llama', 'ollama'),
      model('qwen', 'ollama'),
    ],
  })
  two.tell('a', { type: 'probe_ended', at: 0, outcome: refused })
  t.notMatch(modelsAnswer(two.table, context).body, 'llama', 'gone with its upstream')
})

t.test('modelsAnswer() shows exactly the public names where they are configured', async (t) => {
  const config = tableConfig({
    models: [
      { public: 'fast', members: [{ upstream: 'a', model: 'm1' }] },
      { public: 'big', members: [{ upstream: 'b', model: 'm2' }] },
    ],
  })
  const { body } = modelsAnswer(new World(config).pass('a').table, context)
  t.match(JSON.parse(body).data, [{ id: 'fast', owned_by: 'gengate' }])
})

t.test('modelsAnswer() is 503 with the reasons when nothing is servable', async (t) => {
  const down = world()
  const starting = modelsAnswer(down.table, context)
  t.equal(starting.status, 503)
  t.equal(starting.code, 'upstream_starting')
  down.tell('a', { type: 'probe_ended', at: 0, outcome: refused })
  const answer = modelsAnswer(down.table, context)
  t.equal(answer.code, 'no_eligible_upstream')
  t.match(JSON.parse(answer.body).error.message, /a: refused for 5 s .*; b: not_probed_yet/)
  t.match(answer.headers['retry-after'], /^\d+$/)
})

t.test('modelAnswer() knows ids with slashes, and lists the known for others', async (t) => {
  const two = world().pass('b').tell('a', { type: 'probe_ended', at: 0, outcome: refused })
  t.match(JSON.parse(modelAnswer(two.table, toy, context).body), { id: toy, owned_by: 'embedded' })
  const unknown = modelAnswer(two.table, 'gpt-9', context)
  t.equal(unknown.status, 404)
  t.match(JSON.parse(unknown.body).error, {
    code: 'model_not_found',
    param: 'model',
    message: /Known: default, gengate\/toy\.$/,
  })
  two.tell('a', { type: 'models', at: 0, models: ['llama'].map(plainModel) })
  t.equal(modelAnswer(two.table, 'llama', context).status, 503, 'known, not servable now')
  const many = Array.from({ length: 50 }, (_, i) => `m${i}`)
  two.tell('a', { type: 'models', at: 0, models: many.map(plainModel) })
  t.match(modelAnswer(two.table, 'gpt-9', context).body, /m0, .* and 32 more/)
})
