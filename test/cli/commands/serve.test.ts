// Goal: `serve` starts, reloads and ends as its signals say. Method: a stand-in for the gate.
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import type { Gate } from '../../../src/cli/command.ts'
import { type GateDeps, runGate } from '../../../src/cli/commands/serve.ts'
import type { ConfigResult } from '../../../src/config/load.ts'
import { recordedIo, resultOf } from '../recorded-io.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'

/** A gate under way, and everything that it did. */
function start(more: { env?: Record<string, string>; listen?: () => Promise<never> } = {}) {
  const io = { ...recordedIo(), clock: new VirtualClock() }
  const heard = new Map<string, () => void>()
  const done: unknown[][] = []
  const drained = Promise.withResolvers<void>()
  const watch: { change: () => void } = { change: () => undefined }
  let result: ConfigResult = resultOf(more.env)
  let file: string | null = null
  const gate: Gate = {
    listen: more.listen ?? (async () => ({ host: '127.0.0.1', port: 8123 })),
    reload: (now) => done.push(['reload', now.ok]),
    async close(options) {
      done.push(['close', options?.force ?? false])
      if (options?.force !== true) await drained.promise
    },
  }
  const deps: GateDeps = {
    io,
    version: '1.2.3',
    load: () => ({ result, envFile: file }),
    createGate: async () => gate,
    findHolder: async () => ({ process: null, serves: { kind: 'silent' } }),
    watch(path, onChange) {
      done.push(['watch', path])
      watch.change = onChange
      return () => done.push(['unwatch'])
    },
    onSignal: (signal, run) => heard.set(signal, run),
    exit: (code) => done.push(['exit', code]),
  }
  const ended = runGate(deps)
  return {
    io,
    done,
    drained,
    watch,
    ended,
    signal: (name: string) => heard.get(name)?.(),
    becomes: (now: ConfigResult) => (result = now),
    fileIs: (path: string | null) => (file = path),
    /** Lets the drain come to its end, and the process with it. */
    async end() {
      drained.resolve()
      await io.clock.advance(100)
      if ((await ended) !== 0) throw new Error('a gate that was told to stop ends with 0')
    },
  }
}

/** Lets it come as far as it can without a signal. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

t.test('runGate() says where it listens, drains at a signal and ends with 0', async (t) => {
  const run = start()
  await settled()
  t.match(run.io.stderr[0], 'gengate 1.2.3 listens on http://127.0.0.1:8123/v1')
  t.match(run.io.stderr.join('\n'), /1\. vllm_metal +http:\/\/127\.0\.0\.1:8002 \(vllm_metal\)/)
  t.match(run.io.stderr.join('\n'), 'check: gengate status')
  t.same(run.io.stdout, [], 'stdout is for data')
  run.signal('SIGTERM')
  await settled()
  const ending = [['watch', '.env'], ['unwatch'], ['close', false]]
  t.same(run.done, ending)
  run.signal('SIGHUP')
  t.same(run.done, ending, 'a gate that ends reloads nothing')
  await run.end()
  t.equal(run.io.clock.pending, 0)
})

t.test('runGate() exits at once at a second signal, not at the echo of the first', async (t) => {
  const run = start()
  await settled()
  run.signal('SIGINT')
  await run.io.clock.advance(4)
  run.signal('SIGINT')
  t.ok(run.done.every(([step]) => step !== 'exit'))
  await run.io.clock.advance(500)
  run.signal('SIGINT')
  t.same(run.done.at(-1), ['exit', 130])
  await run.end()
})

t.test('runGate() stays for the echo of a Ctrl-C even when nothing is left to drain', async (t) => {
  const run = start()
  await settled()
  run.drained.resolve()
  run.signal('SIGINT')
  await settled()
  await run.io.clock.advance(99)
  let ended = false
  void run.ended.then(() => (ended = true))
  await settled()
  t.notOk(ended)
  run.signal('SIGINT')
  await run.io.clock.advance(1)
  t.equal(await run.ended, 0)
})

t.test('runGate() that is told to stop while it starts stops', async (t) => {
  const run = start()
  await Promise.resolve()
  run.signal('SIGTERM')
  await settled()
  t.same(run.done.at(-1), ['close', false])
  await run.end()
})

t.test('runGate() reads everything anew at SIGHUP and when the file changes', async (t) => {
  const run = start()
  await settled()
  run.signal('SIGHUP')
  run.becomes(resultOf({ GENGATE_PORT: 'x' }))
  run.watch.change()
  t.same(run.done.slice(1), [
    ['reload', true],
    ['reload', false],
  ])
  run.signal('SIGTERM')
  await run.end()
})

t.test('runGate() keeps its settings when the env file is gone', async (t) => {
  const run = start()
  await settled()
  run.watch.change()
  run.fileIs('.env')
  run.watch.change()
  run.fileIs(null)
  run.watch.change()
  run.signal('SIGHUP')
  run.fileIs('.env')
  run.watch.change()
  t.same(
    run.done.slice(1).map(([, ok]) => ok),
    [true, true, false, false, true],
    'one that was never there is not missed',
  )
  run.signal('SIGTERM')
  await run.end()
})

t.test('runGate() prints every issue and ends with 2 before it builds anything', async (t) => {
  const run = start({
    env: { GENGATE_PORT: 'x', GENGATE_HOLD_MS: 'y', LOCAL_LLM_BACKEND: 'nobody' },
  })
  t.equal(await run.ended, 2)
  const text = run.io.stderr.join('\n')
  for (const name of ['GENGATE_PORT', 'GENGATE_HOLD_MS', 'LOCAL_LLM_BACKEND']) t.match(text, name)
  t.same(run.done, [])
})

t.test('runGate() ends with 1 and a way out where the port is taken', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  t.teardown(() => holder.close())
  const listen = async (): Promise<never> => {
    const { port } = holder.address() as AddressInfo
    const second = createServer().listen(port, '127.0.0.1')
    throw (await once(second, 'error'))[0]
  }
  const run = start({ listen })
  t.equal(await run.ended, 1)
  t.match(run.io.stderr.join('\n'), 'port 8000 on 127.0.0.1 is taken by an unknown process')
  t.same(
    run.done.filter(([step]) => step === 'close'),
    [['close', true]],
  )
})

t.test('runGate() does not swallow a bug', async (t) => {
  const run = start({ listen: () => Promise.reject(new TypeError('a bug')) })
  await t.rejects(run.ended, { message: 'a bug' })
})
