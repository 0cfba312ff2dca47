import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import t from 'tap'
import type { GateEvent } from '../../src/core/event.ts'
import {
  createLog,
  type LineStyle,
  openLog,
  type OpenLog,
  WAITING_BYTES_MAX,
} from '../../src/telemetry/log.ts'
import { holds } from '../support/property.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const json = { tty: false, color: false, wallMs: 1_800_000_000_123 }
const tty = { ...json, tty: true }

const ended: Extract<GateEvent, { type: 'exchange_ended' }> = {
  type: 'exchange_ended',
  requestId: 'r1',
  method: 'POST',
  path: '/v1/chat/completions',
  upstream: 'vllm_cpu',
  status: 200,
  ending: 'finished',
  code: null,
  attempts: 2,
  ttftMs: 210.04,
  durationMs: 1_234.56,
  bytes: 3_100,
  phase: 'after_commit',
}

/** The line of an event, or null where it has none. */
function formatLine(event: GateEvent, style: LineStyle & { wallMs: number }): string | null {
  let written: string | null = null
  const write = (line: string): void => void (written = line)
  createLog({ ...style, level: 'debug', clock: { wallMs: () => style.wallMs }, write }).observe(
    event,
  )
  return written
}

/** Every event into which a string from outside can get. */
const outside = (text: string): GateEvent[] => [
  { ...ended, requestId: text, method: text, path: text, upstream: text, code: text },
  { type: 'refused', requestId: text, path: text, status: 400, code: text },
  { type: 'failover', from: text, why: text },
  { type: 'replayed', upstream: text },
  { type: 'embedded', message: text },
  { type: 'config_reloaded', ok: true, notes: [text, text] },
  { type: 'bug', where: text, message: text },
]

const others: readonly GateEvent[] = [
  {
    type: 'state_changed',
    upstream: 'a',
    from: 'ok',
    to: 'wedged',
    eligible: false,
    generation: 7,
    evidence: 'silent for 8 s',
  },
  { type: 'probe_ended', upstream: 'a', outcome: 'pass', durationMs: 12, tokens: 1 },
  { type: 'route_changed', from: 'a', to: null },
  { type: 'failover', from: 'a', why: 'refused' },
  { type: 'replayed', upstream: 'a' },
  { type: 'doubted', why: 'stalled', lostMs: 23_400 },
  { type: 'held', requestId: 'r1' },
  { type: 'refused', requestId: 'r1', path: '/v1/x?key=canary', status: 403, code: 'origin_no' },
  { type: 'bug', where: 'server', message: 'Error: x\n    at y' },
  { type: 'config_reloaded', ok: false, notes: ['GENGATE_PORT: no number', 'kept'] },
  { type: 'embedded', message: 'a toy answers' },
  { type: 'model_meant', upstream: 'a', model: 'm', sentence: 'A request means m.' },
  { type: 'model_unseen', requestId: 'r1', path: '/v1/x' },
  { type: 'engine_process', upstream: 'a', step: 'died', cause: 'exited', text: 'status 1' },
]

t.test('createLog() writes one JSON object per line where no terminal reads', async (t) => {
  const line = formatLine(ended, json) ?? ''
  t.ok(line.endsWith('}\n'))
  t.strictSame(JSON.parse(line), {
    time: new Date(json.wallMs).toISOString(),
    level: 'info',
    event: 'exchange_ended',
    request_id: 'r1',
    method: 'POST',
    path: '/v1/chat/completions',
    upstream: 'vllm_cpu',
    status: 200,
    ending: 'finished',
    code: null,
    attempts: 2,
    ttft_ms: 210,
    duration_ms: 1_234.6,
    bytes: 3_100,
    phase: 'after_commit',
  })
})

t.test('createLog() writes a readable line on a terminal, coloured only when asked', async (t) => {
  const clock = new Date(json.wallMs).toISOString().slice(11, 23)
  t.equal(
    formatLine(ended, tty),
    `${clock} info  POST /v1/chat/completions 200  vllm_cpu  1.2 s  first token 210 ms  2 attempts\n`,
  )
  const gone = { ...ended, ending: 'client_gone', phase: 'before_commit', attempts: 1 } as const
  t.match(formatLine(gone, tty), /client left before its answer\n$/)
  const code = { status: 503, ending: 'failed', code: 'queue_full' } as const
  const failed = { ...ended, ...code, upstream: null }
  t.match(formatLine(failed, tty), / warn {2}.* 503 {2}gengate .* failed {2}queue_full\n$/)
  t.match(formatLine(ended, { ...tty, color: true }), '\u001B[32minfo ')
  t.notMatch(formatLine(ended, tty), '\u001B')
})

t.test('every event is counted or logged, and levels tell what matters', async (t) => {
  const levels = others.map((event) => JSON.parse(formatLine(event, json) ?? '').level)
  const told = 'warn debug warn warn debug warn debug info error error warn'
  t.equal(levels.join(' '), `${told} info warn warn`)
  t.equal(formatLine({ type: 'gap', upstream: 'a', gapMs: 1 }, json), null)
  t.equal(formatLine({ type: 'first_content', upstream: 'a', ttftMs: 1 }, json), null)
  t.match(formatLine(others[0] as GateEvent, tty), 'a: ok → wedged (silent for 8 s)')
  t.strictSame(JSON.parse(formatLine(others[13] as GateEvent, json) ?? ''), {
    time: new Date(json.wallMs).toISOString(),
    level: 'warn',
    event: 'engine_process',
    upstream: 'a',
    step: 'died',
    cause: 'exited',
    message: 'status 1',
  })
  t.match(formatLine(others[13] as GateEvent, tty), 'a: engine died (exited): status 1')
  t.match(formatLine(others[11] as GateEvent, tty), 'a: A request means m.')
  t.notMatch(formatLine(others[11] as GateEvent, json), 'A request', 'which machines do not need')
  t.match(formatLine(others[9] as GateEvent, tty), 'stays in force: GENGATE_PORT: no number; kept')
  for (const event of [ended, ...others]) {
    const line = formatLine(event, json) ?? ''
    t.notMatch(line, 'canary', 'no query string')
    for (const name of Object.keys(JSON.parse(line))) t.match(name, /^[a-z_]+$/)
  }
})

t.test('no string from outside forges a line, colours it or makes it long', async (t) => {
  const nasty = fc.string({ unit: 'binary', maxLength: 4_000 })
  const law = fc.property(nasty, (text) => {
    const lines = outside(text).flatMap((event) =>
      [json, tty].map((style) => formatLine(event, style) ?? ''),
    )
    return lines.every((line) => /^[^\p{Cc}\p{Zl}\p{Zp}]{1,7999}\n$/u.test(line))
  })
  holds(t, 'one printable line each', law)
})

t.test('createLog() leaves out what is below its level', async (t) => {
  const lines: string[] = []
  const log = createLog({
    ...json,
    level: 'warn',
    clock: { wallMs: () => json.wallMs },
    write: (line) => void lines.push(line),
  })
  log.observe(ended)
  for (const event of others) log.observe(event)
  log.note('info', 'note', 'not shown')
  log.note('error', 'note', 'shown')
  t.equal(lines.length, 10)
  t.match(JSON.parse(lines.at(-1) ?? ''), { level: 'error', event: 'note', message: 'shown' })
})

/** A log whose reader reads when the test says so. `texts`: the messages that were read, in order. */
class Pipe {
  readonly clock = new VirtualClock()
  readonly texts: string[] = []
  readonly log: OpenLog
  readonly #path = join(mkdtempSync(join(tmpdir(), 'gengate-log-')), 'pipe')
  #reader: number
  #rest = ''

  constructor(test: { teardown: (task: () => void) => unknown }) {
    execFileSync('mkfifo', [this.#path])
    this.#reader = this.#open()
    const to = openSync(this.#path, constants.O_WRONLY)
    this.log = openLog({ tty: false, color: false, level: 'info', clock: this.clock, to })
    test.teardown(() => this.leave())
  }

  say(message: string): void {
    this.log.note('info', 'said', message)
  }

  /** Reads until this message has come; does something else in between. */
  async readUntil(message: string | RegExp, meanwhile?: () => Promise<void>): Promise<void> {
    const bytes = Buffer.alloc(64 * 1024)
    while (!this.texts.some((text) => text.match(message) !== null)) {
      await new Promise((resolve) => setTimeout(resolve, 1))
      await meanwhile?.()
      let count = 0
      try {
        count = readSync(this.#reader, bytes)
      } catch {
        // Nothing is there yet.
      }
      const lines = `${this.#rest}${bytes.toString('utf8', 0, count)}`.split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) this.texts.push(JSON.parse(line).message)
    }
  }

  leave(): void {
    closeSync(this.#reader)
  }

  comeBack(): void {
    this.#reader = this.#open()
  }

  #open(): number {
    return openSync(this.#path, constants.O_RDONLY | constants.O_NONBLOCK)
  }
}

const large = 'x'.repeat(200)
/** More of these than a pipe and the backlog hold. */
const MANY = Math.ceil((2 * WAITING_BYTES_MAX) / large.length)

/** How many were written, up to the last one that was told: each in its order or in a note's count. */
function toldOf(texts: readonly string[]): number {
  let next = 0
  for (const text of texts) {
    const lost = /^(\d+) log lines were dropped/.exec(text)
    if (lost !== null) next += Number(lost[1])
    else if (text.startsWith(`${next} `)) next += 1
    else throw new Error(`${text.slice(0, 20)} where ${next} was due`)
  }
  return next
}

t.test('openLog() writes a line at once, and those that follow shortly together', async (t) => {
  const pipe = new Pipe(t)
  pipe.say('a')
  await pipe.readUntil('a')
  for (const text of ['b', 'ç', 'd']) pipe.say(text)
  await pipe.clock.advance(9)
  t.strictSame(pipe.texts, ['a'])
  await pipe.clock.advance(1)
  await pipe.readUntil('d')
  t.strictSame(pipe.texts, ['a', 'b', 'ç', 'd'])
  await pipe.clock.advance(10)
  t.equal(pipe.clock.pending, 0)
})

t.test('close() writes what waits, without a pause', async (t) => {
  const pipe = new Pipe(t)
  await pipe.log.close()
  for (const text of ['a', 'b', 'c']) pipe.say(text)
  await pipe.log.close()
  await pipe.readUntil('c')
  t.strictSame(pipe.texts, ['a', 'b', 'c'])
  t.equal(pipe.clock.pending, 0)
})

// F33. Were a write to block, this test would not go on.
t.test('a reader that stops costs lines, which are told, and nothing else', async (t) => {
  const pipe = new Pipe(t)
  for (let i = 0; i < MANY; i++) pipe.say(`${i} ${large}`)
  await pipe.clock.advance(10)
  await pipe.readUntil(/dropped/)
  const written = pipe.texts.join('').length
  t.ok(written < WAITING_BYTES_MAX + 128 * 1024, 'memory is bounded')
  await pipe.clock.advance(10)
  pipe.say(`${MANY} last`)
  await pipe.readUntil('last')
  t.equal(toldOf(pipe.texts), MANY + 1)
  t.equal(pipe.texts.filter((text) => text.includes('dropped')).length, 1, 'told once')
})

t.test('a reader that comes back hears of every line, or that it was dropped', async (t) => {
  const pipe = new Pipe(t)
  let count = 0
  const say = async (): Promise<void> => {
    pipe.say(`${count++} ${large}`)
    await pipe.clock.advance(10)
  }
  pipe.leave()
  for (let i = 0; i < MANY; i++) await say()
  await pipe.clock.advance(10)
  t.equal(pipe.clock.pending, 0, 'nobody waits for it')
  pipe.comeBack()
  await pipe.readUntil(/dropped/, say)
  await pipe.readUntil(String(count - 1))
  t.equal(toldOf(pipe.texts), count)
})

t.test('close() does not wait for ever for a reader that has stopped', async (t) => {
  const pipe = new Pipe(t)
  for (let i = 0; i < MANY; i++) pipe.say(large)
  let closed = false
  const closing = pipe.log.close().then(() => (closed = true))
  await pipe.clock.advance(499)
  t.notOk(closed)
  await pipe.clock.advance(1)
  await closing
  await pipe.readUntil(/dropped/)
})
