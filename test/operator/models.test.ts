import { plainModel } from '../../src/core/model/model-choice.ts'
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
const sized = (id: string, sizeBytes: number) => {
  return { ...plainModel(id), sizeBytes, fields: { context_length: sizeBytes } }
}

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

t.test(
  'an entry keeps what clients use of the engine, by its own name and as default',
  async (t) => {
    const one = new World(tableConfig({ specs: [spec({ name: 'a', model: 'qwen' })] })).pass('a')
    const fields = { created: 7, owned_by: 'vllm', root: '/models/q', max_model_len: 32_768 }
    one.tell('a', {
      type: 'models',
      at: 0,
      models: [{ ...plainModel('qwen'), fields }, plainModel('lora')],
    })
    const { body } = modelsAnswer(one.table, context)
    t.strictSame(JSON.parse(body).data, [
      { id: 'default', object: 'model', ...fields, owned_by: 'gengate' },
      { id: 'qwen', object: 'model', ...fields },
      model('lora', 'vllm'),
    ])
    t.match(JSON.parse(modelAnswer(one.table, 'default', context).body), { max_model_len: 32_768 })
    t.match(JSON.parse(modelAnswer(one.table, 'qwen', context).body), { id: 'qwen', ...fields })
  },
)

t.test('a public name has the fields of the model behind it', async (t) => {
  const config = tableConfig({
    models: [{ public: 'fast', members: [{ upstream: 'b', model: 'm2' }] }],
  })
  const one = new World(config).pass('b')
  const models = [{ ...plainModel('m2'), fields: { meta: { n_ctx: 4096 } } }]
  one.tell('b', { type: 'models', at: 0, models })
  t.match(JSON.parse(modelAnswer(one.table, 'fast', context).body), {
    id: 'fast',
    owned_by: 'gengate',
    meta: { n_ctx: 4096 },
  })
  t.equal(modelAnswer(one.table, 'm2', context).status, 404, 'no public name')
})

t.test('modelAnswer() takes a name that the engine takes for one that it lists', async (t) => {
  const two = world().pass('a').pass('b')
  two.tell('a', { type: 'models', at: 0, models: ['gemma:latest', 'qwen3:8b'].map(plainModel) })
  t.match(JSON.parse(modelAnswer(two.table, 'gemma', context).body), { id: 'gemma' })
  t.equal(modelAnswer(two.table, 'gemma:2b', context).status, 404)
  two.tell('a', { type: 'probe_ended', at: 0, outcome: refused })
  t.equal(modelAnswer(two.table, 'library/gemma', context).status, 503, 'known, not servable now')
})

t.test('default has the fields of the model that is meant among several', async (t) => {
  const one = new World(tableConfig({ specs: [spec({ name: 'a', engine: 'ollama' })] })).pass('a')
  one.tell('a', { type: 'models', at: 0, models: [sized('big', 9_000), sized('small', 4_000)] })
  const { body } = modelsAnswer(one.table, context)
  t.match(JSON.parse(body).data, [
    { id: 'default', owned_by: 'gengate', context_length: 4_000 },
    { id: 'big', owned_by: 'ollama', context_length: 9_000 },
    { id: 'small' },
  ])
})
