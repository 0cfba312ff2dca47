import t from 'tap'
import { Reading } from '../../src/config/reading.ts'
import { type Env, gather } from '../../src/config/sources.ts'

// Rows of docs/faults.md that are shown here: config-quotes.

const readingOf = (env: Env) => new Reading(gather(env, null))

t.test('Reading parses every variable and collects every issue', async (t) => {
  const reading = readingOf({
    GENGATE_PORT: 'x',
    GENGATE_PROT: '1',
    GENGATE_LOG_LEVEL: 'debug',
    GENGATE_A_COLD: 'no',
  })
  t.same(
    reading.issues.map(({ name }) => name),
    ['GENGATE_PORT', 'GENGATE_PROT', 'GENGATE_A_COLD'],
  )
  t.equal(reading.global('GENGATE_LOG_LEVEL'), 'debug')
  t.equal(reading.global('GENGATE_PORT'), 8000, 'a refused value reads as its default')
  t.equal(reading.refused('GENGATE_PORT'), true)
  t.equal(reading.field('a', 'COLD'), 'on_demand')
  t.equal(reading.global('GENGATE_MODELS'), null)
  t.same(reading.names, ['GENGATE_LOG_LEVEL'])
})

t.test('Reading joins lines of a list, drops blanks and refuses control characters', async (t) => {
  const reading = readingOf({
    GENGATE_MODELS: 'a=b:c;\n\td=e:f',
    VLLM_MODEL: 'a\u001b[1m',
    GENGATE_HOST: ' \n',
  })
  t.equal(reading.global('GENGATE_MODELS')?.length, 2)
  t.match(reading.issues, [{ name: 'VLLM_MODEL', message: /control character/ }])
  t.equal(reading.sourceOf('GENGATE_HOST'), 'default')
})

t.test('Reading explains the port that Kubernetes sets', async (t) => {
  const reading = readingOf({ GENGATE_PORT: 'tcp://10.0.0.1:8000' })
  t.match(reading.issues, [{ name: 'GENGATE_PORT', message: /enableServiceLinks/ }])
})

t.test('Reading.settings() shows secrets as (set) and leaves out what is unset', async (t) => {
  const reading = readingOf({ GENGATE_API_KEYS: 's3cret', GENGATE_A_API_KEY: 's3cret' })
  reading.show('GENGATE_A_URL', 'http://box:1', 'flag')
  const settings = reading.settings(['a'], [])
  t.notMatch(JSON.stringify(settings), /s3cret|MODELS/)
  t.match(settings, [{ name: 'GENGATE_HOST', value: '127.0.0.1', source: 'default' }])
  for (const name of ['GENGATE_API_KEYS', 'GENGATE_A_API_KEY']) {
    t.same(
      settings.find((one) => one.name === name),
      { name, value: '(set)', source: 'env' },
    )
  }
  t.match(settings.at(-7), { name: 'GENGATE_A_URL', value: 'http://box:1', source: 'flag' })
  t.equal(reading.isDefault('GENGATE_A_URL'), false)
  t.equal(reading.isDefault('GENGATE_B_URL'), true)
})

t.test('Reading takes quotation marks around a value off, and refuses half of them', async (t) => {
  // As `docker run --env-file` hands them on.
  const reading = readingOf({
    GENGATE_PORT: '"8010"',
    VLLM_MODEL: "'m'",
    GENGATE_UPSTREAMS: '"vllm_cpu,ollama"',
  })
  t.same(reading.issues, [])
  t.equal(reading.global('GENGATE_PORT'), 8010)
  t.equal(reading.global('VLLM_MODEL'), 'm')
  t.same(reading.settings([], []).find(({ name }) => name === 'VLLM_MODEL')?.value, 'm')
  for (const text of ['"m', "m'", '\u201Cm\u201D', '"a"="b"']) {
    const half = readingOf({ VLLM_MODEL: text })
    t.match(half.issues, [{ name: 'VLLM_MODEL', message: /quotation mark/ }], text)
  }
  t.same(readingOf({ VLLM_MODEL: "it's" }).issues, [])
  const latin = readingOf({ VLLM_MODEL: 'm\uFFFD' })
  t.match(latin.issues, [{ name: 'VLLM_MODEL', message: /not UTF-8/ }])
})
