// Goal: a gate ends as it should, whoever reads what it says: nobody any more, or somebody who does
// not get to it.
// Method: the real program with stdout and stderr of its own; a client whose stream is under way.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { chatBody, post, readStream } from '../support/ask.ts'
import { get, RawClient } from '../support/raw.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { environment, until } from './process.ts'

// Rows of docs/faults.md that are shown here: log-reader-gone, log-reader-stuck,
// descriptors-run-out.

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}

/** A gate whose stdout and stderr go to `output`, in front of an engine that streams for long. */
async function serving(t: Test, output: number | 'pipe') {
  const a = await fakeUpstream(t, { models: ['m'], tokens: 40, gapMs: 20 })
  const port = await freePort()
  const env = { GENGATE_PORT: String(port), GENGATE_UPSTREAMS: `a=${a.url}` }
  const child = spawn(process.execPath, [MAIN, 'serve'], {
    env: environment(env),
    stdio: ['ignore', output, output],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const url = `http://127.0.0.1:${port}`
  await until(async () => {
    const answer = await fetch(`${url}/readyz`).catch(() => null)
    return answer?.status === 200 ? true : undefined
  })
  return { child, url, ended: once(child, 'exit') }
}

/** A stream is under way, the gate is told to end: the stream ends whole, and then the gate, with 0. */
async function drains(t: Test, { child, url, ended }: Awaited<ReturnType<typeof serving>>) {
  const answer = await post(`${url}/v1/chat/completions`, chatBody({ stream: true }))
  child.kill('SIGTERM')
  t.ok((await readStream(answer)).done, 'the stream is whole')
  t.same(await ended, [0, null])
}

t.test('a client that comes when descriptors run out is told 503, not reset', async (t) => {
  const port = await freePort()
  const line = `ulimit -n 90; exec "${process.execPath}" "${MAIN}" serve`
  const env = { GENGATE_PORT: String(port), GENGATE_UPSTREAMS: 'a=http://127.0.0.1:1' }
  const child = spawn('sh', ['-c', line], { env: environment(env), stdio: 'ignore' })
  t.teardown(() => child.kill('SIGKILL'))
  const url = `http://127.0.0.1:${port}`
  await until(async () => {
    const answer = await fetch(`${url}/livez`).catch(() => null)
    return answer?.status === 200 ? true : undefined
  })
  const clients: RawClient[] = []
  const seen: (number | undefined)[] = []
  for (let i = 0; i < 120; i++) {
    const client = new RawClient(port).send(get('/livez'))
    clients.push(client)
    // One after the other: all of them stay.
    // oxlint-disable-next-line no-await-in-loop
    seen.push((await client.answer())?.status)
  }
  t.same([...new Set(seen)], [200, 503])
  t.ok(seen.filter((status) => status === 200).length >= 20, 'those who came first are served')
  for (const client of clients) client.destroy()
  await until(async () => {
    const answer = await fetch(`${url}/livez`).catch(() => null)
    return answer?.status === 200 ? true : undefined
  })
})

t.test('a gate whose readers of stdout and stderr are gone drains as ever', async (t) => {
  const gate = await serving(t, 'pipe')
  gate.child.stdout?.destroy()
  gate.child.stderr?.destroy()
  await drains(t, gate)
})

t.test('a gate whose lines nobody reads ends when the drain is over', async (t) => {
  const path = `${t.testdir({})}/fifo`
  spawnSync('mkfifo', [path])
  const fifo = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  t.teardown(() => closeSync(fifo))
  // Not one line fits.
  const line = Buffer.alloc(4096, '\n')
  t.throws(
    () => {
      for (;;) writeSync(fifo, line)
    },
    { code: 'EAGAIN' },
  )
  const blocking = openSync(path, constants.O_WRONLY)
  const gate = await serving(t, blocking)
  closeSync(blocking)
  await drains(t, gate)
})
