/**
 * Goal: whatever happens to the embedded engine, the gate lives on and hears one clear line; and
 * the engine never outlives the gate.
 * Method: real child processes with real llama.cpp, killed and broken in every way we know.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { text } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { Embedded, type EmbeddedOptions } from '../../src/embedded/child.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { isAlive } from '../support/owned.ts'
import { chatAt } from './toy-server.ts'

const folder = await mkdtemp(join(tmpdir(), 'gengate-child-'))
t.teardown(() => rm(folder, { recursive: true }))

interface Watched extends AsyncDisposable {
  readonly embedded: Embedded
  readonly messages: string[]
  readonly urls: string[]
}

function start(t: Test, more: Partial<EmbeddedOptions> = {}): Watched {
  const messages: string[] = []
  const urls: string[] = []
  const embedded = new Embedded({
    clock: systemClock,
    modelPath: null,
    cacheDir: folder,
    onReady: (url) => urls.push(url),
    onMessage: (text) => messages.push(text),
    ...more,
  })
  const stop = () => embedded.stop()
  t.teardown(stop)
  return { embedded, messages, urls, [Symbol.asyncDispose]: stop }
}

/** Waits for what must come, at most ten seconds. */
async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 1_000 && !what(); i++) await wait(10)
  if (!what()) throw new Error('it never came')
}

t.test('Embedded serves the toy, and again on the same port after a crash', async (t) => {
  await using run = start(t)
  await until(() => run.urls.length === 1)
  t.match(run.messages[0], /TOY MODEL gengate-toy-bigram/)
  const url = run.urls[0] ?? ''
  t.ok((await chatAt(url, { max_tokens: 5 })).content.length > 0)
  const { pid } = run.embedded
  process.kill(pid ?? 0, 'SIGKILL')
  await until(() => run.urls.length === 2)
  t.equal(run.urls[1], url)
  t.match(run.messages[1], /SIGKILL.*next start in 0\.5 s/)
  t.not(run.embedded.pid, pid)
  t.ok((await chatAt(url, { max_tokens: 5 })).content.length > 0)
})

t.test('a signal to the whole group leaves the engine until the gate ends', async (t) => {
  await using run = start(t)
  await until(() => run.urls.length === 1)
  const pid = run.embedded.pid ?? 0
  process.kill(pid, 'SIGINT')
  process.kill(pid, 'SIGTERM')
  t.ok((await chatAt(run.urls[0] ?? '', { max_tokens: 5 })).content.length > 0)
  await run.embedded.stop()
  t.notOk(isAlive(pid))
  t.equal(run.embedded.pid, null)
  t.equal(run.messages.length, 1, 'a stop is no crash')
})

t.test('stop() ends a start that does not serve yet, and a wait for the next', async (t) => {
  const early = start(t)
  const pid = early.embedded.pid ?? 0
  await early.embedded.stop()
  t.notOk(isAlive(pid))
  t.strictSame([early.messages, early.urls], [[], []])

  const waiting = start(t)
  process.kill(waiting.embedded.pid ?? 0, 'SIGKILL')
  await until(() => waiting.messages.length === 1)
  await waiting.embedded.stop()
  await wait(700)
  t.equal(waiting.embedded.pid, null)
  t.strictSame(waiting.urls, [])
})

t.test('a port that is taken is replaced by another', async (t) => {
  const blocker = createServer().listen(0, '127.0.0.1')
  await once(blocker, 'listening')
  t.teardown(() => blocker.close())
  const { port } = blocker.address() as AddressInfo
  await using run = start(t, { port })
  await until(() => run.urls.length === 1)
  t.not(run.urls[0], `http://127.0.0.1:${port}`)
  t.ok((await fetch(`${run.urls[0]}/health`)).ok)
})

t.test('the engine goes when the gate is killed', async (t) => {
  const entry = fileURLToPath(new URL('parent.ts', import.meta.url))
  const parent = spawn(process.execPath, [entry, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => parent.kill('SIGKILL'))
  // Both lines may come in one chunk, so an iterator that keeps what nobody awaits yet.
  const lines = createInterface(parent.stdout)[Symbol.asyncIterator]()
  await lines.next()
  const told: { url: string; pid: number } = JSON.parse(String((await lines.next()).value))
  const { url, pid } = told
  t.ok((await fetch(`${url}/health`)).ok)
  t.ok(isAlive(pid))
  const long = chatAt(url, { max_tokens: 8_000, ignore_eos: true })
    .then(() => 'finished')
    .catch(() => 'cut')
  await wait(100)
  parent.kill('SIGKILL')
  await until(() => !isAlive(pid))
  t.equal(await long, 'cut', 'also in the middle of a generation')
})

t.test('what cannot succeed is told once, with what to do, and not tried again', async (t) => {
  const bad = join(folder, 'bad.gguf')
  await writeFile(bad, 'this is no model')
  const noBinary = join(folder, 'no-binary.mjs')
  await writeFile(
    noBinary,
    `export const LlamaLogLevel = {}
export const getLlama = async () => { throw new Error('no prebuilt binary') }`,
  )
  const broken = join(folder, 'broken.mjs')
  await writeFile(broken, `throw new Error('cannot be imported')`)
  const cases: [Partial<EmbeddedOptions>, RegExp][] = [
    [{ moduleName: 'gengate-absent-module' }, /npm install node-llama-cpp@3\.21\.1.*EMBEDDED=off/],
    [{ modelPath: join(folder, 'missing.gguf') }, /missing\.gguf.*GENGATE_EMBEDDED/],
    [{ modelPath: folder }, /not a file/],
    [{ modelPath: bad }, /cannot load .*bad\.gguf/],
    [{ moduleName: pathToFileURL(noBinary).href }, /does not work on this machine.*no prebuilt/],
    [{ moduleName: pathToFileURL(broken).href }, /does not work.*cannot be imported/],
    [{ cacheDir: '/dev/null/gengate' }, /XDG_CACHE_HOME/],
  ]
  const runs = cases.map(([options]) => start(t, options))
  await until(() => runs.every((run) => run.messages.length > 0))
  // Longer than the first back-off: a restart would show.
  await wait(700)
  for (const [i, run] of runs.entries()) {
    t.equal(run.messages.length, 1, run.messages.join(' | '))
    t.match(run.messages[0], cases[i]?.[1])
    t.equal(run.embedded.pid, null)
    t.strictSame(run.urls, [])
  }
})

t.test('the settings of the gate stay with the gate, and its stdout is its own', async (t) => {
  const spy = join(folder, 'spy.mjs')
  await writeFile(
    spy,
    `console.log('this would garble the data of the gate')
const mine = Object.keys(process.env).filter((name) => name.startsWith('GENGATE_'))
export const LlamaLogLevel = {}
export const getLlama = async () => { throw new Error('saw ' + mine.length) }`,
  )
  const entry = fileURLToPath(new URL('parent.ts', import.meta.url))
  const parent = spawn(process.execPath, [entry, folder, pathToFileURL(spy).href], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, GENGATE_OLLAMA_API_KEY: 'secret' },
  })
  t.teardown(() => parent.kill('SIGKILL'))
  const output = await text(parent.stdout)
  t.match(output, /^embedded engine: .*saw 0\).*\n$/, output)
})
