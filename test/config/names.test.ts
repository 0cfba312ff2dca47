import t from 'tap'
import {
  FIELD_NAMES,
  GLOBAL_NAMES,
  isOurs,
  meaningOf,
  unknownMessage,
  variableOf,
} from '../../src/config/names.ts'

t.test('meaningOf() tells settings of the gate from fields of an upstream', async (t) => {
  t.match(meaningOf('GENGATE_API_KEYS_FILE'), { kind: 'global' })
  t.match(meaningOf('LOCAL_LLM_BACKEND'), { kind: 'global' })
  const field = { kind: 'field', upstream: 'a_b', field: 'API_KEY_FILE' }
  t.match(meaningOf('GENGATE_A_B_API_KEY_FILE'), field)
  const odd = ['GENGATE_URL', 'GENGATE__URL', 'GENGATE_1_URL', 'GENGATE_a_URL', 'VLLM_URL']
  for (const name of [...odd, 'constructor']) t.equal(meaningOf(name).kind, 'unknown', name)
})

t.test('no setting of the gate can be read as a field of an upstream', async (t) => {
  const fields = new RegExp(`^GENGATE_.+_(${FIELD_NAMES.join('|')})$`)
  t.same(
    GLOBAL_NAMES.filter((name) => fields.test(name)),
    [],
  )
  t.same(
    FIELD_NAMES.filter((field) => FIELD_NAMES.some((other) => field.endsWith(`_${other}`))),
    [],
  )
})

t.test('meaningOf() undoes variableOf()', async (t) => {
  for (const upstream of ['a', 'vllm_cpu', 'x_api', 'env', 'a_']) {
    for (const field of FIELD_NAMES) {
      t.match(meaningOf(variableOf(upstream, field)), { kind: 'field', upstream, field })
    }
  }
})

t.test('isOurs() leaves the rest of the environment alone', async (t) => {
  for (const name of ['GENGATE_X', 'gengate_port', 'VLLM_MODEL', 'VLLM_PORT'])
    t.equal(isOurs(name), true, name)
  for (const name of ['PATH', 'VLLM_CPU_OMP_THREADS_BIND', 'toString', 'XGENGATE_A'])
    t.equal(isOurs(name), false, name)
})

t.test('unknownMessage() suggests the name that was probably meant', async (t) => {
  const cases: [string, string][] = [
    ['GENGATE_PROT', 'GENGATE_PORT'],
    ['gengate_host', 'GENGATE_HOST'],
    ['GENGATE_UPSTREAM', 'GENGATE_UPSTREAMS'],
    ['GENGATE_PROBE_INTERVAL', 'GENGATE_PROBE_INTERVAL_MS'],
    ['GENGATE_TIMEOUT', 'GENGATE_CONNECT_TIMEOUT_MS'],
    ['GENGATE_OLLAMA_URI', 'GENGATE_OLLAMA_URL'],
    ['GENGATE_OLLAMA_KEY', 'GENGATE_OLLAMA_API_KEY'],
    ['GENGATE_VLLM_CPU_ADMN', 'GENGATE_VLLM_CPU_ADMIN'],
    ['GENGATE_OLLAMA_MAX_CONCURENCY', 'GENGATE_OLLAMA_MAX_CONCURRENCY'],
    ['GENGATE_URL', 'GENGATE_<NAME>_URL'],
  ]
  for (const [name, meant] of cases) {
    t.equal(unknownMessage(name), `is not a setting. Did you mean ${meant}?`, name)
  }
  for (const name of ['GENGATE_', 'GENGATE_BANANA', 'GENGATE_OLLAMA_XYZ']) {
    t.notMatch(unknownMessage(name), /Did you mean/, name)
  }
})

t.test('unknownMessage() knows the names that Kubernetes makes up', async (t) => {
  for (const name of ['SERVICE_HOST', 'SERVICE_PORT_HTTP', 'PORT_8000_TCP', 'PORT_8000_TCP_ADDR']) {
    t.match(unknownMessage(`GENGATE_${name}`), /enableServiceLinks/, name)
  }
})
