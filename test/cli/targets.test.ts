import t from 'tap'
import {
  clientTarget,
  targetOfClients,
  targetOfGate,
  targetOfUrl,
  targetsOfNames,
  withoutV1,
} from '../../src/cli/targets.ts'
import { configOf } from './recorded-io.ts'

t.test('clientTarget() reads the variables in the order of the clients', async (t) => {
  const both = {
    SYSTEM2_VLLM_BASE_URL: 'http://a:1/v1',
    SYSTEM2_VLLM_MODEL: 'm',
    OPENCLAW_VLLM_BASE_URL: 'http://b:2/v1/',
    OPENCLAW_VLLM_API_KEY: 'k',
  }
  t.same(clientTarget(both), {
    source: 'SYSTEM2_VLLM_BASE_URL',
    url: 'http://a:1',
    model: 'm',
    apiKey: null,
  })
  t.same(clientTarget({ ...both, SYSTEM2_VLLM_BASE_URL: ' ' }), {
    source: 'OPENCLAW_VLLM_BASE_URL',
    url: 'http://b:2',
    model: null,
    apiKey: 'k',
  })
  t.equal(clientTarget({}), null)
})

t.test('withoutV1() cuts the suffix and nothing else', async (t) => {
  for (const end of ['', '/', '/v1', '/v1/', '//'])
    t.equal(withoutV1(`http://h/x${end}`), 'http://h/x')
  t.equal(withoutV1('http://h/v10'), 'http://h/v10')
})

t.test('the targets of `probe` come from flag, names, clients or the own port', async (t) => {
  t.match(targetOfUrl('http://h:1/v1'), { url: 'http://h:1' })
  for (const url of ['h:1', 'ftp://h', '']) t.type(targetOfUrl(url), 'string')
  t.equal(targetOfClients({}), null)
  t.match(targetOfClients({ SYSTEM2_VLLM_BASE_URL: 'nonsense' }), /^SYSTEM2_VLLM_BASE_URL must be/)
  t.match(targetOfClients({ OPENCLAW_VLLM_BASE_URL: 'http://h:1/v1' }), {
    upstream: null,
    url: 'http://h:1',
  })
  const config = configOf({
    GENGATE_HOST: '0.0.0.0',
    GENGATE_API_KEYS: 'gate-key-of-some-length',
    GENGATE_VLLM_CPU_API_KEY: 'k',
  })
  t.match(targetOfGate(config), {
    url: 'http://127.0.0.1:8000',
    apiKey: 'gate-key-of-some-length',
  })
  t.match(targetsOfNames(['ollama', 'vllm_cpu'], config), [
    { upstream: 'ollama' },
    { upstream: 'vllm_cpu', engine: 'vllm', apiKey: 'k' },
  ])
  t.match(targetsOfNames(['nobody'], config), /vllm_metal, vllm_cpu, ollama/)
})
