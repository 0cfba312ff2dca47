import t from 'tap'
import { programsOf } from '../../src/cli/load.ts'
import { configNotes } from '../../src/config/notes.ts'
import { configOf, gengate, resultOf } from '../cli/recorded-io.ts'

// Rows of docs/bad-input.md that are shown here: origin-null.
// Rows of docs/faults.md that are shown here: upstream-not-listed.

// Goal: what would end in a crash loop, or in waiting for ever, is told before.
// Method: the pure function over configurations; once the command as a user sees it.

const URL_A = { GENGATE_UPSTREAMS: 'a=http://127.0.0.1:8391' }

function notesOf(run: string, env: Record<string, string> = {}): string[] {
  const result = resultOf({ ...URL_A, ...env, GENGATE_A_RUN: run })
  if (!result.ok) throw new Error(JSON.stringify(result.issues))
  return configNotes(result.config, (name) => (name === 'engine' ? '/bin/engine' : null))
}

t.test('configNotes() tells another port than that of the URL, and nothing else', async (t) => {
  const other = ['GENGATE_A_RUN has --port 8399, and the gate looks at port 8391 (GENGATE_A_URL).']
  t.same(notesOf('engine --port 8399 --api-key canary'), other)
  t.same(notesOf('engine --port=8399'), other)
  t.same(notesOf('engine --port 8391 --port 8399'), other, 'the last one counts')
  for (const run of ['engine --port 8391', 'engine', 'engine --port', 'engine --port any']) {
    t.same(notesOf(run), [], run)
  }
})

t.test('configNotes() names a program that is not there, without its folder', async (t) => {
  t.same(notesOf('/opt/secret/nosuch --api-key canary'), [
    'GENGATE_A_RUN: there is no program nosuch to start.',
  ])
})

t.test('configNotes() tells that any page can be one without an origin', async (t) => {
  const note = [
    'GENGATE_ALLOWED_ORIGINS has null, which any web page can send: set GENGATE_API_KEYS, or leave it out.',
  ]
  const allowed = { GENGATE_ALLOWED_ORIGINS: 'null' }
  t.same(notesOf('engine', allowed), note)
  t.same(notesOf('engine', { ...allowed, GENGATE_API_KEYS: 'k' }), [], 'a page has no key')
  t.same(notesOf('engine', { GENGATE_ALLOWED_ORIGINS: 'https://null' }), [])
})

const checked = async (env: Record<string, string>) =>
  (await gengate('config check', { GENGATE_UPSTREAMS: 'ollama', ...env })).err

t.test('configNotes() names the model that a request without one would load', async (t) => {
  const chosen = { GENGATE_OLLAMA_MODEL: 'gemma' }
  const named = 'loads gemma at ollama if it is not in memory (GENGATE_OLLAMA_MODEL)'
  t.match(await checked(chosen), named)
  const nameless = 'means the one in memory at ollama, else loads the last that generated'
  t.match(await checked({}), nameless)
  t.notMatch(await checked({ ...chosen, GENGATE_OLLAMA_COLD: 'never' }), /loads/)
})

t.test('programsOf() looks on the PATH of the line first', async (t) => {
  const find = programsOf({ env: { PATH: '/nowhere' } })
  t.equal(find('sh', {}), null)
  t.match(find('sh', { PATH: '/bin' }), /sh$/)
})

const noted = (env: Record<string, string>) => configNotes(configOf(env), () => null)

t.test('settings of an upstream that is not listed are noted, with the nearest name', async (t) => {
  const table: [env: Record<string, string>, note: string][] = [
    [
      { GENGATE_VLM_CPU_URL: 'http://127.0.0.1:8001', GENGATE_VLM_CPU_MODEL: 'm' },
      'GENGATE_VLM_CPU_MODEL, GENGATE_VLM_CPU_URL have no effect: no upstream vlm_cpu is listed. Did you mean vllm_cpu?',
    ],
    [
      { GENGATE_BGI_MODEL: 'm', GENGATE_UPSTREAMS: 'big=http://127.0.0.1:8001' },
      'GENGATE_BGI_MODEL has no effect: no upstream bgi is listed. Did you mean big?',
    ],
    [
      { GENGATE_LMSTUDIO_MODEL: 'm' },
      'GENGATE_LMSTUDIO_MODEL has no effect: no upstream lmstudio is listed. GENGATE_UPSTREAMS lists them.',
    ],
    [
      { GENGATE_UPSTREAMS: 'vllm_mteal' },
      'upstream vllm_mteal is taken for vllm at http://127.0.0.1:8001 by its name. Did you mean vllm_metal?',
    ],
  ]
  for (const [env, note] of table) t.same(noted(env), [note])
  for (const env of [{}, { GENGATE_UPSTREAMS: 'ollama2,vllm_cpu,llamacpp_big' }]) {
    t.same(noted(env), [])
  }
})
