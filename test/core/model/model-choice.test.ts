import * as fc from 'fast-check'
import t from 'tap'
import { listedAs, plainModel, sameModel } from '../../../src/core/model/model-choice.ts'
import { ENGINE_KINDS } from '../../../src/engines/index.ts'
import { holds } from '../../support/property.ts'

const EQUAL = [
  ['ollama', 'gemma', 'gemma:latest'],
  ['ollama', 'Gemma:Latest', 'gemma'],
  ['ollama', 'library/gemma', 'gemma:latest'],
  ['ollama', 'registry.ollama.ai/library/gemma', 'gemma'],
  ['ollama', 'registry.ollama.ai/library/gemma:2b', 'gemma:2b'],
  ['ollama', 'registry.ollama.ai/me/gemma', 'me/gemma:latest'],
  ['ollama', 'hf.co/u/m', 'hf.co/u/m:latest'],
  ['ollama', 'HF.co/U/M:q4', 'hf.co/u/m:Q4'],
  ['ollama', 'https://hf.co/u/m', 'hf.co/u/m'],
  ['ollama', 'gemma:local', 'gemma'],
  ['ollama', 'gemma:2b:local', 'gemma:2b'],
  ['lmstudio', 'qwen3-8b:2', 'qwen3-8b'],
  ['lmstudio', 'Qwen/Qwen3-8B', 'qwen/qwen3-8b'],
] as const
const APART = [
  ['ollama', 'gemma', 'gemma:2b'],
  ['ollama', 'me/gemma', 'gemma'],
  ['ollama', 'hf.co/library/gemma', 'gemma'],
  ['ollama', 'hf.co/u/m:Q4', 'hf.co/u/m'],
  ['lmstudio', 'qwen3-8b@q4_k_m', 'qwen3-8b'],
  ['lmstudio', 'qwen3-8b:a', 'qwen3-8b'],
  ['vllm', 'm', 'm:latest'],
  ['vllm', 'Qwen', 'qwen'],
  ['llamacpp', 'm:2', 'm'],
  ['llamaswap', 'M', 'm'],
  ['openai', 'gemma', 'gemma:latest'],
] as const

t.test('names that an engine takes as equal are equal, and no others', async (t) => {
  for (const [engine, a, b] of EQUAL) {
    t.ok(sameModel(engine, a, b), `${engine}: ${a} is ${b}`)
    t.ok(sameModel(engine, b, a), `${engine}: ${b} is ${a}`)
  }
  for (const [engine, a, b] of APART) t.notOk(sameModel(engine, a, b), `${engine}: ${a}, ${b}`)
})

t.test('listedAs() takes what is written exactly so first, aliases last', async (t) => {
  const models = [
    { ...plainModel('other'), aliases: ['gemma', 'o'] },
    plainModel('gemma:latest'),
    plainModel('Gemma'),
  ]
  const idOf = (name: string) => listedAs('ollama', models, name)?.id ?? null
  t.equal(idOf('Gemma'), 'Gemma')
  t.equal(idOf('gemma'), 'gemma:latest')
  t.equal(idOf('library/o'), 'other', 'an alias by the rule of the engine')
  t.equal(idOf('gemma:2b'), null)
  t.equal(listedAs('ollama', null, 'gemma'), null, 'no list')
})

const part = fc.constantFrom('m', 'M', 'x', 'library', 'hf.co', 'latest', 'local', '2', '', 'q@4')
const name = fc
  .array(fc.tuple(part, fc.constantFrom('/', ':', '')), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.flat().join(''))
const engine = fc.constantFrom(...ENGINE_KINDS)

t.test('sameModel() is an equivalence for every engine', async (t) => {
  holds(
    t,
    'reflexive, symmetric, transitive',
    fc.property(engine, name, name, name, (kind, a, b, c) => {
      const same = (one: string, other: string) => sameModel(kind, one, other)
      const through = !(same(a, b) && same(b, c)) || same(a, c)
      return same(a, a) && same(a, b) === same(b, a) && through
    }),
    2_000,
  )
})

t.test('listedAs() finds what a walk through the list would', async (t) => {
  const listed = fc
    .tuple(name, fc.array(name, { maxLength: 2 }))
    .map(([id, aliases]) => ({ ...plainModel(id), aliases }))
  const property = fc.property(
    engine,
    fc.array(listed, { maxLength: 5 }),
    name,
    (kind, models, wanted) => {
      const is = (one: string) => sameModel(kind, one, wanted)
      const walked =
        models.find(({ id }) => id === wanted) ??
        models.find(({ id }) => is(id)) ??
        models.find(({ aliases }) => aliases.some(is)) ??
        null
      return listedAs(kind, models, wanted) === walked
    },
  )
  holds(t, 'the same', property, 2_000)
})
