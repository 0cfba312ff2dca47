// Goal: which engine `gengate run` takes, and what it says when it cannot start it.
// Method: the command line with everything real but its process; the engines are scripts.
import t from 'tap'
import { join } from 'node:path'
import { fakeEngines } from '../../bin/fake-engines.ts'
import { jsonServer } from '../json-server.ts'
import { gengate } from '../recorded-io.ts'

/** Runs `gengate run …`; `settings` is the env file. */
const run = (args: readonly string[], env: Record<string, string>, settings = '') =>
  gengate(['run', ...args], env, { '.env': settings })

/** The engine that a line printed as JSON starts. */
function engine({ out }: { out: string }): unknown {
  const line: unknown = JSON.parse(out)
  return (line as { engine: unknown }).engine
}

t.test('LOCAL_LLM_BACKEND chooses, from the environment or the env file', async (t) => {
  const { env, home } = fakeEngines(t)
  t.equal(engine(await run(['--json'], env)), 'vllm_cpu')
  t.equal(engine(await run(['--json'], { ...env, LOCAL_LLM_BACKEND: 'ollama' })), 'ollama')
  t.equal(engine(await run(['--json'], env, 'LOCAL_LLM_BACKEND=ollama')), 'ollama')
  const llama = { LOCAL_LLM_BACKEND: 'llamacpp', GENGATE_LLAMACPP_GGUF: join(home, 'model.gguf') }
  t.equal(engine(await run(['--json'], { ...env, ...llama })), 'llamacpp', 'listed or not')
  t.equal(engine(await run(['ollama', '--json'], { ...env, LOCAL_LLM_BACKEND: 'x' })), 'ollama')
  for (const name of ['vllm_gpu', 'mlx']) {
    const wrong = await run([], { ...env, LOCAL_LLM_BACKEND: name })
    t.same([wrong.code, wrong.out], [2, ''])
    t.match(wrong.err, `must be one of vllm_cpu, vllm_metal, ollama, llamacpp, not "${name}"`)
  }
})

t.test('what cannot start ends with 2 and says what to do', async (t) => {
  const { env } = fakeEngines(t)
  t.match(await run(['llamacpp'], env), { code: 2, out: '', err: /Set GENGATE_LLAMACPP_GGUF=/ })
  t.match(await run(['vllm_cpu'], { ...env, VLLM_PORT: '8000' }), { code: 2, err: /gate's own/ })
  t.match(await run(['ollama'], { ...env, GENGATE_HOLD_MS: 'x' }), {
    code: 2,
    err: /GENGATE_HOLD_MS/,
  })
  const bare = { ...env, PATH: '/usr/bin:/bin' }
  t.match(await run(['vllm_cpu'], bare), { code: 2, err: /vLLM is not installed/ })
  t.match(await run(['vllm_metal'], bare), { code: 2, err: /vllm-metal\/main\/install\.sh/ })
})

t.test('notes and problems of --gate are those of the pair', async (t) => {
  const { env } = fakeEngines(t)
  const moved = { ...env, VLLM_PORT: '9001' }
  t.match((await run(['vllm_cpu', '--dry-run'], moved)).err, /Set GENGATE_VLLM_CPU_URL=/)
  t.equal((await run(['vllm_cpu', '--dry-run', '--gate'], moved)).err, '', 'it is told')
  const flipped = await run(['vllm_cpu', '--gate', '--dry-run'], env, 'LOCAL_LLM_BACKEND=ollama')
  t.equal(flipped.err, 'LOCAL_LLM_BACKEND in the env file puts ollama before it.')
})

t.test('an address that this machine has not ends with 1', async (t) => {
  const { env } = fakeEngines(t)
  const { code, err } = await run(['vllm_cpu'], { ...env, VLLM_HOST: '192.0.2.1' })
  t.equal(code, 1)
  t.match(err, /cannot listen on 192\.0\.2\.1 port 8001 \(EADDRNOTAVAIL\)/)
})

t.test('a taken port is probed by name only where that is configured to be there', async (t) => {
  const { env, home } = fakeEngines(t)
  const { port, url } = await jsonServer(t, { 'GET /v1/models': [200, { data: [{ id: 'tiny' }] }] })
  const own = { ...env, GENGATE_LLAMACPP_GGUF: join(home, 'model.gguf'), GENGATE_LLAMACPP_URL: url }
  const probe = `it runs already: gengate probe`
  const unlisted = await run(['llamacpp'], own)
  t.equal(unlisted.code, 1)
  t.match(unlisted.err, `${probe} --url http://127.0.0.1:${port}\n`)
  const listed = await run(['llamacpp'], { ...own, GENGATE_UPSTREAMS: 'llamacpp' })
  t.match(listed.err, `${probe} llamacpp\n`)
  const elsewhere = await run(['vllm_cpu'], { ...env, VLLM_PORT: String(port) })
  t.match(elsewhere.err, `${probe} --url http://127.0.0.1:${port}\n`)
})
