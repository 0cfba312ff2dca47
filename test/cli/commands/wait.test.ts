import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { readinessLook, waitFor } from '../../../src/cli/commands/wait.ts'
import { ask } from '../../../src/cli/gate-client.ts'
import { readinessOf } from '../../../src/operator/readiness.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { spec, tableConfig, World } from '../../support/world.ts'
import { configOf, recordedIo } from '../recorded-io.ts'

const ORIGIN = 'http://127.0.0.1:8000'

/** What a gate answers of this world. */
function said(world: World, model: string | null = null, draining = false) {
  const context = { nowMs: world.now, draining, inFlight: () => 0 }
  const { status, body } = readinessOf(world.table, { model, verbose: true }, context)
  return readinessLook({ status, body, errorCode: null }, ORIGIN, model)
}

t.test('readinessLook() reads what a gate says', async (t) => {
  const specs = [spec({ name: 'a', model: 'm' }), spec({ name: 'b', model: 'm' })]
  const world = new World(tableConfig({ specs })).at(1_000)
  t.same(said(world), {
    ready: false,
    summary: 'a not_probed_yet; b not_probed_yet',
    reasons: [
      '[-]a not_probed_yet for 1 s: No probe has ended yet. Wait a moment.',
      '[-]b not_probed_yet for 1 s: No probe has ended yet. Wait a moment.',
    ],
  })
  world.pass('b')
  t.match(said(world), { ready: true })
  t.match(said(world, 'm'), { ready: true })
  t.match(said(world, 'x'), { ready: false, summary: 'a not_probed_yet' }, 'it may yet list it')
  t.match(said(world, null, true), { ready: false, summary: 'gate draining; a not_probed_yet' })
  t.match(said(world.pass('a'), 'x'), { ready: false, summary: 'the model "x" is not known' })
})

t.test('readinessLook() takes only a gate for one, and says what to do', async (t) => {
  const none = readinessLook(
    { status: 0, body: undefined, errorCode: 'ECONNREFUSED' },
    ORIGIN,
    null,
  )
  t.match(none, { ready: false, summary: /No gate answers at .*ECONNREFUSED.*gengate serve/ })
  for (const [status, text] of [
    [200, 'ok\n'],
    [200, '<html>'],
    [404, '{"detail":"Not Found"}'],
  ] as const) {
    const other = readinessLook({ status, body: text, errorCode: null }, ORIGIN, null)
    t.match(other, { ready: false, summary: /Something other than gengate/, reasons: [] })
  }
  const newer = { status: 503, body: '[+]gate ok\nnot ready\n', errorCode: null }
  t.match(readinessLook(newer, ORIGIN, null), { ready: false, summary: 'HTTP 503' })
})

const NOT_READY = '[+]gate ok\n[-]a refused for 3 s: Start the engine.\nnot ready\n'
const READY = '[+]gate ok\n[+]a ok\nok\n'

const quiet = { model: null, verbose: false }

/** A gate that answers these in turn, the last one for ever. */
async function gateSaying(t: Test, answers: [status: number, text: string][], port = 0) {
  const paths: (string | undefined)[] = []
  const server = createServer((request, response) => {
    paths.push(request.url)
    const [status, text] = answers[Math.min(paths.length, answers.length) - 1] ?? [500, '']
    response.writeHead(status).end(text)
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  return { paths, server, port: (server.address() as AddressInfo).port }
}

t.test('waitFor() ends with 0 when the gate is ready, telling each change once', async (t) => {
  const loading = NOT_READY.replace('refused for 3 s', 'loading for 4 s')
  const aged = NOT_READY.replace('for 3 s', 'for 4 s')
  const { paths, port } = await gateSaying(t, [
    [503, NOT_READY],
    [503, aged],
    [503, loading],
    [200, READY],
  ])
  const io = recordedIo()
  const config = configOf({ GENGATE_PORT: String(port) })
  const options = { timeoutMs: 10_000, model: 'org/m&x', verbose: true }
  t.equal(await waitFor(config, options, io), 0)
  t.match(io.stderr, [
    'gengate: not ready yet: a refused',
    'gengate: not ready yet: a loading',
    /^gengate: ready after [\d.]+ s\.$/,
  ])
  t.equal(io.stderr.length, 3)
  t.same(io.stdout, [])
  t.equal(paths.length, 4)
  t.equal(paths[0], '/readyz?verbose&model=org%2Fm%26x')
})

t.test('waitFor() ends with 1 in time, with the reasons even where nobody looks', async (t) => {
  const { port } = await gateSaying(t, [[503, NOT_READY]])
  const io = recordedIo()
  const config = configOf({ GENGATE_PORT: String(port) })
  t.equal(await waitFor(config, { ...quiet, timeoutMs: 700 }, io), 1)
  t.match(io.stderr, [
    /^gengate: not ready after [\d.]+ m?s: a refused$/,
    '  [-]a refused for 3 s: Start the engine.',
  ])
})

t.test('waitFor() takes a refused connection for "not yet"', async (t) => {
  const { port, server } = await gateSaying(t, [])
  await new Promise((resolve) => server.close(resolve))
  const io = recordedIo()
  const config = configOf({ GENGATE_PORT: String(port) })
  const options = { timeoutMs: 10_000, model: null, verbose: true }
  const ended = waitFor(config, options, io)
  while (io.stderr.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
  await gateSaying(t, [[200, READY]], port)
  t.equal(await ended, 0)
  t.match(io.stderr, [/No gate answers .*ECONNREFUSED/, /ready after/])
  const dead = recordedIo()
  const nobody = configOf({ GENGATE_PORT: '1' })
  t.equal(await waitFor(nobody, { ...quiet, timeoutMs: 100 }, dead), 1)
  t.match(dead.stderr.join('\n'), /^gengate: not ready after [\d.]+ m?s: .*ECONNREFUSED/)
})

t.test('ask() is bounded, and ends by its signal', async (t) => {
  const server = createServer(() => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const options = { clock: systemClock, limitMs: 50 }
  t.match(await ask({ url, apiKey: null }, '/', options), { status: 0, errorCode: 'ETIMEDOUT' })
  const stop = new AbortController()
  systemClock.after(20, () => stop.abort())
  const asked = ask({ url, apiKey: null }, '/', {
    ...options,
    limitMs: 60_000,
    signal: stop.signal,
  })
  t.match(await asked, { status: 0, errorCode: 'ABORTED' })
})
