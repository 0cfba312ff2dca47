import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { childEnv } from '../support/child-env.ts'
import { chatBody, post, readStream, servedBy } from '../support/ask.ts'
import { fakeLlamaSwap, fakeLocalAi } from '../support/fake-engines.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { freePort } from '../support/owned.ts'
import { runCli } from '../support/run-cli.ts'

// Goal: the commands that operators already use behave as their page says (docs/operating.md), and
// an edit of the env file moves traffic.
// Method: the gate as its own process, started as a user does.

/** Runs `gengate serve` until the test ends; resolves when it answers. */
async function serve(
  t: Test,
  env: Record<string, string>,
): Promise<{ url: string; err: () => string; pid: number }> {
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const child = spawn(process.execPath, [main, 'serve'], {
    env: childEnv({ GENGATE_EMBEDDED: 'off', ...env }),
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let err = ''
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  t.teardown(async () => {
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    await gone
  })
  const url = `http://127.0.0.1:${env['GENGATE_PORT']}`
  await until(() =>
    fetch(`${url}/readyz`).then(
      (r) => r.status === 200,
      () => false,
    ),
  )
  return { url, err: () => err, pid: child.pid ?? 0 }
}

async function until(check: () => Promise<boolean> | boolean, limitMs = 20_000): Promise<void> {
  const end = performance.now() + limitMs
  while (!(await check())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

t.test('models, probe and diag say that generation works, and that it is wedged', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  const env = {
    GENGATE_PORT: String(await freePort()),
    GENGATE_VLLM_CPU_URL: a.url,
    GENGATE_UPSTREAMS: 'vllm_cpu',
    GENGATE_DETECT_WITHIN_MS: '1500',
    GENGATE_PROBE_INTERVAL_MS: '500',
  }
  const gate = await serve(t, env)
  t.match(await (await fetch(`${gate.url}/v1/models`)).json(), {
    object: 'list',
    data: [{ id: 'default' }, { id: 'm' }],
  })
  const client = { ...env, SYSTEM2_VLLM_BASE_URL: `${gate.url}/v1` }
  const probe = await runCli(['probe', '--json'], client)
  t.equal(probe.code, 0)
  t.match(JSON.parse(probe.out), {
    type: 'vllm_status',
    healthy: true,
    inference_ok: true,
    generation_probe_ok: true,
    generation_probe_reason: 'ok',
    base_url: `${gate.url}/v1`,
  })
  const diag = await runCli(['diag'], env)
  t.equal(diag.code, 0)
  t.match(diag.out, /^local_vllm: eligible=yes reason=ok$/m)

  a.freeze()
  await post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true, max_tokens: 1 }))
  await until(async () => (await fetch(`${gate.url}/readyz`)).status === 503)
  t.equal((await fetch(`${gate.url}/v1/models`)).status, 503, 'clients health-check by this call')
  t.equal((await fetch(`${a.url}/health`)).status, 200, 'while the engine says that it is fine')
  const wedged = await runCli(['probe', '--json', '--url', `${a.url}/v1`, '--timeout', '1'], env)
  t.equal(wedged.code, 1)
  t.match(JSON.parse(wedged.out), {
    generation_probe_ok: false,
    generation_probe_reason: 'timeout',
  })
  const bad = await runCli(['diag'], env)
  t.equal(bad.code, 1)
  t.match(bad.out, /^local_vllm: eligible=no reason=generation_probe_failed$/m)
  t.match(
    bad.out,
    /^- vllm_cpu: configured=yes enabled=yes eligible=no reason=generation_probe_failed/m,
  )
})

t.test('an edit of the env file moves new requests within a second, streams finish', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'], tokens: 40, gapMs: 50 })
  const b = await fakeUpstream(t, { models: ['m'] })
  const dir = await mkdtemp(join(tmpdir(), 'gengate-'))
  t.teardown(() => rm(dir, { recursive: true }))
  const file = join(dir, 'gate.env')
  const lines = `GENGATE_UPSTREAMS=a=${a.url},b=${b.url}\n`
  await writeFile(file, lines)
  const gate = await serve(t, { GENGATE_PORT: String(await freePort()), GENGATE_ENV_FILE: file })
  const chat = () => post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true }))
  const served = async () => servedBy(await chat())
  await until(async () => (await served()) === 'a')
  const running = await Promise.all(Array.from({ length: 50 }, chat))
  const ends = Promise.all(running.map(readStream))
  await writeFile(file, `${lines}LOCAL_LLM_BACKEND=b\n`)
  await until(async () => (await served()) === 'b')
  for (const end of await ends) t.ok(end.done && end.error === null && !end.broken)

  await writeFile(file, `${lines}GENGATE_PROT=1\n`)
  await until(() => gate.err().includes('GENGATE_PROT'))
  t.equal(await served(), 'b', 'a file with a mistake changes nothing')
  await writeFile(file, lines)
  process.kill(gate.pid, 'SIGHUP')
  await until(async () => (await served()) === 'a')
})

t.test('serve on a port that another gate holds says so and exits 1', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  const env = {
    GENGATE_PORT: String(await freePort()),
    GENGATE_UPSTREAMS: `a=${a.url}`,
    GENGATE_EMBEDDED: 'off',
  }
  await serve(t, env)
  const second = await runCli(['serve'], env)
  t.equal(second.code, 1)
  t.match(second.err, /gengate/)
  t.match(second.err, /GENGATE_PORT/)
})

t.test('doctor says what to set for servers that list many models', async (t) => {
  const [swap, local] = [await fakeLlamaSwap(t, ['m1', 'm2']), await fakeLocalAi(t)]
  const { out } = await runCli(['doctor'], {
    GENGATE_PORT: String(await freePort()),
    GENGATE_UPSTREAMS: 'swap,local',
    GENGATE_SWAP_URL: swap.url,
    GENGATE_SWAP_ENGINE: 'openai',
    GENGATE_LOCAL_URL: local.url,
    GENGATE_LOCAL_ENGINE: 'openai',
  })
  t.match(out, /swap at .* answers as llamaswap does.* set GENGATE_SWAP_ENGINE=llamaswap/)
  t.match(out, /local at .* lists 6 models, and none is chosen .* GENGATE_LOCAL_MODEL/)
})
