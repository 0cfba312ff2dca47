// Goal: `gengate run --gate`: gate and engine as one, until either ends.
// Method: the launcher and the real program as processes; the engine is a script on PATH.
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort, isAlive } from '../support/owned.ts'
import { fakeEngines, insist, ready, startRun } from './fake-engines.ts'
import { answers, until } from './process.ts'

/** Starts gate and engine; resolves when the gate can serve. */
async function startPair(t: Test, more: Record<string, string> = {}) {
  const { env, home } = fakeEngines(t)
  const [port, enginePort] = [await freePort(), await freePort()]
  const running = startRun(t, ['llamacpp', '--gate'], {
    ...env,
    ...more,
    GENGATE_PORT: String(port),
    GENGATE_UPSTREAMS: 'dead',
    GENGATE_PROBE_INTERVAL_MS: '250',
    GENGATE_DEAD_URL: 'http://127.0.0.1:1',
    GENGATE_LLAMACPP_GGUF: join(home, 'model.gguf'),
    GENGATE_LLAMACPP_URL: `http://127.0.0.1:${enginePort}`,
  })
  const worker = await ready(running)
  const base = `http://127.0.0.1:${port}`
  for (;;) {
    const looked = await fetch(`${base}/readyz`).catch(() => null)
    if (looked?.status === 200) break
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return { ...running, running, worker, base, port, enginePort, home }
}

t.test('--gate serves through the engine that it started, and ends both', async (t) => {
  const { child, out, err, ended, worker, base, port, enginePort, home } = await startPair(t)
  const response = await fetch(`${base}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'x' }] }),
  })
  t.equal(response.status, 200)
  t.equal(response.headers.get('x-gengate-upstream'), 'llamacpp')
  t.match(await response.json(), { choices: [{ message: { content: 'hi' } }] })
  const status = await (await fetch(`${base}/gate/status`)).json()
  t.match(status, { upstreams: [{ name: 'llamacpp' }, { name: 'dead' }] }, 'it comes first')
  writeFileSync(join(home, '.env'), 'LOCAL_LLM_BACKEND=dead\n')
  child.kill('SIGHUP')
  for (;;) {
    const now: unknown = await (await fetch(`${base}/gate/status`)).json()
    if ((now as { upstreams: { name: string }[] }).upstreams[0]?.name === 'dead') break
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  t.ok(await answers(enginePort), 'the env file flips the gate, the engine runs on')
  child.kill('SIGTERM')
  t.same(await ended, [0, null], err.text)
  t.match(out.text, /^got SIGTERM$/m)
  t.notOk(isAlive(worker))
  t.notOk((await answers(port)) || (await answers(enginePort)))
})

t.test('--gate ends when its engine does, with its code', async (t) => {
  const { err, ended, base, port, enginePort, worker } = await startPair(t)
  t.ok(base)
  await fetch(`http://127.0.0.1:${enginePort}/end`)
  t.same(await ended, [5, null])
  t.match(err.text, /llamacpp ended, so the gate ends\./)
  t.match(err.text, /llamacpp ended by itself \(code 5\)\./)
  t.notOk(await answers(port))
  t.notOk(isAlive(worker))
})

t.test('--gate starts no engine where it cannot have its own port', async (t) => {
  const { env } = fakeEngines(t)
  const holder = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve))
  const address = holder.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const { out, err, ended } = startRun(t, ['ollama', '--gate'], {
    ...env,
    GENGATE_PORT: String(address.port),
    GENGATE_OLLAMA_URL: `http://127.0.0.1:${await freePort()}`,
  })
  t.same(await ended, [1, null])
  t.match(err.text, `port ${address.port} on 127.0.0.1 is taken by`)
  t.equal(out.text, '')
  t.notMatch(err.text, 'starting')
  await new Promise((resolve) => holder.close(resolve))
})

t.test('a second signal ends the gate, and takes along an engine that does not end', async (t) => {
  const { running, worker, enginePort } = await startPair(t, { FAKE_STUBBORN: '1' })
  t.same(await insist(running, 'SIGTERM'), [143, null])
  await until(() => (isAlive(worker) ? undefined : true))
  t.notOk(await answers(enginePort))
})
