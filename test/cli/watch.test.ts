import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { childEnv } from '../support/child-env.ts'
import { watchUntilStopped } from '../../src/cli/command.ts'
import { frame, type Look, watch } from '../../src/cli/watch.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { ENGINE, gateStatus, jsonServer } from './json-server.ts'
import { recordedIo } from './recorded-io.ts'

function look(key: string, more: Partial<Look> = {}): Look {
  return { code: 0, lines: [`state ${key}`], problems: [], document: { key }, key, ...more }
}

/** Watches these looks, 2 s apart, then stops. */
async function watched(looks: Look[], options: { json?: boolean; redraw?: boolean } = {}) {
  const clock = new VirtualClock()
  const io = { ...recordedIo(), clock }
  const stop = new AbortController()
  const askedAt: number[] = []
  const ended = watch(
    async () => {
      const next = looks[askedAt.push(clock.nowMs()) - 1]
      if (next === undefined) throw new Error('looked too often')
      return next
    },
    { intervalMs: 2_000, json: options.json === true },
    { io, redraw: options.redraw === true, stopped: stop.signal },
  )
  await clock.advance(2_000 * looks.length - 1)
  stop.abort()
  const last = await ended
  return { last, askedAt, out: io.stdout, err: io.stderr, pending: clock.pending }
}

const gone = look('gone', { code: 1, lines: [], problems: ['no gate'], document: undefined })

t.test('watch() prints one block per change where nothing can be redrawn', async (t) => {
  const { out, err, last, askedAt, pending } = await watched([
    look('a'),
    look('a'),
    look('b'),
    gone,
    gone,
    look('a'),
  ])
  t.same(askedAt, [0, 2_000, 4_000, 6_000, 8_000, 10_000])
  t.match(out, [/^# 2027-.*:00\.000Z$/, 'state a', /^# /, 'state b', /^# .*:10\.000Z$/, 'state a'])
  t.equal(out.length, 6)
  t.match(err, [/^# .*:06\.000Z$/, 'no gate'])
  t.equal(err.length, 2)
  t.equal(last?.key, 'a')
  t.equal(pending, 0, 'no timer is left')
})

t.test('watch() prints one JSON document per line, and a problem once', async (t) => {
  const { out, err } = await watched([look('a'), look('a'), gone, gone, look('b')], {
    json: true,
    redraw: true,
  })
  t.same(out, ['{"key":"a"}', '{"key":"a"}', '{"key":"b"}'])
  t.same(err, ['no gate'])
})

t.test('watch() redraws a terminal at every look, problems in their place', async (t) => {
  const { out, err } = await watched([look('a'), gone], { redraw: true })
  const [first = '', second = ''] = out
  t.equal(out.length, 2, 'one write each')
  t.ok(first.startsWith('\u001B[2J\u001B[H'), 'the first clears the screen')
  t.match(first, /state a\S*\n[^]*Every 2 s, last at \d\d:\d\d:\d\d UTC\. Ctrl-C ends\./)
  t.notOk(second.includes('\u001B[2J'), 'later ones write over what is there')
  t.match(second, 'no gate')
  t.same(err, [])
})

t.test('frame() leaves nothing of the lines before', async (t) => {
  const screen = frame(['a', 'b'], false)
  t.equal(screen, '\u001B[Ha\u001B[K\nb\u001B[K\u001B[J')
})

t.test('watch() does not count the look that is interrupted', async (t) => {
  const stop = new AbortController()
  const io = recordedIo()
  const looks = [look('a'), look('b')]
  const last = await watch(
    async (signal) => {
      t.equal(signal, stop.signal, 'so that it can end early')
      if (looks.length === 1) stop.abort()
      return looks.shift() ?? look('')
    },
    { intervalMs: 1, json: false },
    { io, redraw: false, stopped: stop.signal },
  )
  t.equal(last?.key, 'a')
  t.notMatch(io.stdout.join('\n'), 'state b')
})

t.test('only a terminal that moves its cursor is redrawn', async (t) => {
  const table: [stdout: boolean, term: string | undefined, redrawn: boolean][] = [
    [true, 'xterm', true],
    [true, undefined, true],
    [true, 'dumb', false],
    [false, 'xterm', false],
  ]
  for (const [stdout, term, redrawn] of table) {
    const io = { ...recordedIo({ TERM: term }), clock: new VirtualClock() }
    const heard: (() => void)[] = []
    const onSignal = (_name: string, hear: () => void): void => void heard.push(hear)
    const world = { io, onSignal, terminal: { stdout, stderr: true } }
    const ended = watchUntilStopped(async () => look('a'), { interval: 2 }, world)
    await io.clock.advance(1)
    heard[0]?.()
    t.equal((await ended)?.key, 'a')
    t.equal(io.stdout[0]?.includes('\u001B[2J'), redrawn, `${stdout} ${term}`)
  }
})

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** Runs a watch as a process, interrupts it as Ctrl-C does when `seen` shows, and waits. */
async function interrupted(args: string[], env: Record<string, string>, seen: RegExp) {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: childEnv(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  child.stderr.resume()
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    out += chunk
    if (seen.test(out)) child.kill('SIGINT')
  })
  const [code, signal]: unknown[] = await once(child, 'close')
  return { code, signal, out }
}

t.test('Ctrl-C ends status --watch with 0, and probe --watch as its last look', async (t) => {
  const gate = gateStatus({ name: 'a', state: 'ejected' })
  const { url, port } = await jsonServer(t, { ...ENGINE, ...gate })
  const env = { GENGATE_PORT: String(port) }
  const status = await interrupted(['status', '--watch'], env, /^a +ejected/m)
  t.match(status, { code: 0, signal: null })
  const lines = /^\{"version".*\}\n\{"version".*\}\n/
  const json = ['status', '--watch', '--json', '--interval', '0.5']
  t.match(await interrupted(json, env, lines), { code: 0, signal: null, out: lines })
  const ok = await interrupted(['probe', '--url', url, '--watch'], {}, /^ok/m)
  t.match(ok, { code: 0, signal: null })
  const dead = ['probe', '--url', 'http://127.0.0.1:1', '--watch']
  t.match(await interrupted(dead, {}, /^fail/m), { code: 1, signal: null })
})

t.test('Ctrl-C does not wait for a generation that hangs', async (t) => {
  const { url, seen } = await jsonServer(t, { ...ENGINE, 'POST /v1/chat/completions': null })
  const hangs = ['probe', '--url', url, '--watch', '--timeout', '600']
  const child = spawn(process.execPath, [MAIN, ...hangs], { stdio: 'ignore' })
  const closed = once(child, 'close')
  t.teardown(() => child.kill('SIGKILL'))
  while (!seen.some(({ method }) => method === 'POST')) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  child.kill('SIGINT')
  t.same(await closed, [1, null], 'nothing was shown to work')
})
