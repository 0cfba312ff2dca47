import t from 'tap'
import type { ConfigIssue } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Env } from '../../src/config/sources.ts'

function issuesOf(env: Env, upstreams: readonly string[] = []): readonly ConfigIssue[] {
  const loaded = loadConfig({ env, file: null, flags: { upstreams }, readFile: () => null })
  return loaded.ok ? [] : loaded.issues
}

t.test('refuseOwnListener() prints both ways out of the clash on port 8000', async (t) => {
  for (const host of ['127.0.0.1', 'localhost', '[::1]', '0.0.0.0']) {
    const [issue] = issuesOf({ GENGATE_VLLM_CPU_URL: `http://${host}:8000/v1` })
    t.equal(issue?.name, 'GENGATE_VLLM_CPU_URL', host)
    t.match(issue?.message, /vLLM's default port is 8000 too/)
    t.match(
      issue?.message,
      /engine to port 8001 and set GENGATE_VLLM_CPU_URL=http:\/\/127.0.0.1:8001/,
    )
    t.match(issue?.message, /GENGATE_PORT=8010/)
  }
})

t.test('refuseOwnListener() takes the way out that it named', async (t) => {
  const url = 'http://127.0.0.1:8000'
  t.same(issuesOf({ GENGATE_VLLM_CPU_URL: url, GENGATE_PORT: '8010' }), [])
  t.same(issuesOf({ GENGATE_VLLM_CPU_URL: 'http://127.0.0.1:8001' }), [])
  t.match(issuesOf({}, ['http://127.0.0.1:8000']), [{ name: 'GENGATE_UPSTREAM_1_URL' }])
})

t.test('refuseOwnListener() does not suggest the port that is taken', async (t) => {
  const [issue] = issuesOf({ GENGATE_PORT: '8010' }, ['x=http://127.0.0.1:8010'])
  t.match(issue?.message, /GENGATE_PORT=8020/)
  t.notMatch(issue?.message, /vLLM/)
})

t.test('refuseOwnListener() is silent where the port itself was refused', async (t) => {
  const issues = issuesOf({ GENGATE_PORT: 'x', GENGATE_VLLM_CPU_URL: 'http://127.0.0.1:8000' })
  t.same(
    issues.map(({ name }) => name),
    ['GENGATE_PORT'],
  )
})

t.test('refuseTwins() finds a URL that was forgotten', async (t) => {
  t.match(issuesOf({ GENGATE_UPSTREAMS: 'vllm_cpu,vllm_big' }), [
    { name: 'GENGATE_VLLM_BIG_URL', message: /vllm_cpu already/ },
  ])
  t.same(issuesOf({ GENGATE_UPSTREAMS: 'llamacpp,mlx' }), [], 'only one of them can run')
  t.same(issuesOf({ GENGATE_UPSTREAMS: 'ollama,ollama_big', GENGATE_OLLAMA_BIG_MODEL: 'b' }), [])
  t.same(issuesOf({}, ['a=http://box:1', 'b=http://box:1']), [], 'said by hand')
})
