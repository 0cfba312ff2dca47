// Goal: `gengate run --heal`: the gate owns the engine, and starts it again when it is dead.
// Method: the launcher and the real program as processes; the engine is a script on PATH.
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../support/owned.ts'
import { fakeEngines, startRun } from './fake-engines.ts'
import { answers } from './process.ts'

// Rows of docs/faults.md that are shown here: heal-hopeless.

interface Status {
  readonly upstreams: readonly {
    readonly name: string
    readonly eligible: boolean
    readonly process?: { readonly restarts: number; readonly pid: number | null }
  }[]
}

t.test('--heal ends where the engine dies twice in the same way, with the advice', async (t) => {
  const { env, home } = fakeEngines(t)
  const [port, enginePort] = [await freePort(), await freePort()]
  const { err, ended } = startRun(t, ['llamacpp', '--heal', '--', '--bogus'], {
    ...env,
    FAKE_FAILS: 'error: invalid argument: --bogus',
    GENGATE_PORT: String(port),
    GENGATE_LLAMACPP_GGUF: join(home, 'model.gguf'),
    GENGATE_LLAMACPP_URL: `http://127.0.0.1:${enginePort}`,
  })
  t.same(await ended, [3, null], 'the code of the engine')
  t.match(err.text, /llamacpp ended twice in the same way, so the gate ends/)
  t.match(err.text, / {2}\| error: invalid argument: --bogus/)
  t.match(err.text, /Hint: this llama-server does not know --bogus/)
  t.notOk(await answers(port))
})

t.test('--heal starts the engine again, and ends it with the gate', async (t) => {
  const { env, home } = fakeEngines(t)
  const [port, enginePort] = [await freePort(), await freePort()]
  const { child, err, ended } = startRun(t, ['llamacpp', '--heal'], {
    ...env,
    GENGATE_PORT: String(port),
    GENGATE_UPSTREAMS: 'dead',
    GENGATE_PROBE_INTERVAL_MS: '250',
    GENGATE_DEAD_URL: 'http://127.0.0.1:1',
    GENGATE_LLAMACPP_GGUF: join(home, 'model.gguf'),
    GENGATE_LLAMACPP_URL: `http://127.0.0.1:${enginePort}`,
  })
  /** What the gate says of the engine, once it is eligible after so many restarts. */
  const healed = async (restarts: number) => {
    for (;;) {
      const response = await fetch(`http://127.0.0.1:${port}/gate/status`).catch(() => null)
      const status = (await response?.json()) as Status | undefined
      const engine = status?.upstreams[0]
      if (engine?.eligible === true && engine.process?.restarts === restarts) return engine
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  const first = await healed(0)
  t.equal(first.name, 'llamacpp', 'it comes first')
  await fetch(`http://127.0.0.1:${enginePort}/end`)
  const second = await healed(1)
  t.not(second.process?.pid, first.process?.pid)
  child.kill('SIGTERM')
  t.same(await ended, [0, null], err.text)
  t.match(err.text, /starting llamacpp on 127\.0\.0\.1/)
  t.notOk((await answers(port)) || (await answers(enginePort)))
})
