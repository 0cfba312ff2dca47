import * as fc from 'fast-check'
import t from 'tap'
import type { GateEvent } from '../../src/core/event.ts'
import { createLog, formatLine } from '../../src/telemetry/log.ts'
import { holds } from '../support/property.ts'

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
  {
    type: 'refused',
    requestId: 'r1',
    path: '/v1/x?key=canary',
    status: 403,
    code: 'origin_not_allowed',
  },
  { type: 'bug', where: 'server', message: 'Error: x\n    at y' },
  { type: 'config_reloaded', ok: false, notes: ['GENGATE_PORT: no number', 'kept'] },
  { type: 'embedded', message: 'a toy answers' },
]

t.test('formatLine() is one JSON object per line where no terminal reads', async (t) => {
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

t.test('formatLine() is a readable line on a terminal, coloured only when asked', async (t) => {
  const clock = new Date(json.wallMs).toISOString().slice(11, 23)
  t.equal(
    formatLine(ended, tty),
    `${clock} info  POST /v1/chat/completions 200  vllm_cpu  1.2 s  first token 210 ms  2 attempts\n`,
  )
  const gone = { ...ended, ending: 'client_gone', phase: 'before_commit', attempts: 1 } as const
  t.match(formatLine(gone, tty), /client left before its answer\n$/)
  const failed = {
    ...ended,
    upstream: null,
    status: 503,
    ending: 'failed',
    code: 'queue_full',
  } as const
  t.match(formatLine(failed, tty), / warn {2}.* 503 {2}gengate .* failed {2}queue_full\n$/)
  t.match(formatLine(ended, { ...tty, color: true }), '\u001B[32minfo ')
  t.notMatch(formatLine(ended, tty), '\u001B')
})

t.test('every event is counted or logged, and levels tell what matters', async (t) => {
  const levels = others.map((event) => JSON.parse(formatLine(event, json) ?? '').level)
  t.strictSame(levels, [
    'warn',
    'debug',
    'warn',
    'warn',
    'debug',
    'warn',
    'debug',
    'info',
    'error',
    'error',
    'warn',
  ])
  t.equal(formatLine({ type: 'gap', upstream: 'a', gapMs: 1 }, json), null)
  t.equal(formatLine({ type: 'first_content', upstream: 'a', ttftMs: 1 }, json), null)
  t.match(formatLine(others[0] as GateEvent, tty), 'a: ok → wedged (silent for 8 s)')
  t.match(formatLine(others[9] as GateEvent, tty), 'stays in force: GENGATE_PORT: no number; kept')
  for (const event of others) t.notMatch(formatLine(event, json), 'canary', 'no query string')
})

t.test('no string from outside forges a line, colours it or makes it long', async (t) => {
  const nasty = fc.string({ unit: 'binary', maxLength: 4_000 })
  holds(
    t,
    'one printable line each',
    fc.property(nasty, (text) =>
      outside(text).every((event) =>
        [json, tty].every((style) => {
          const line = formatLine(event, style) ?? ''
          const inner = line.slice(0, -1)
          return line.endsWith('\n') && inner.length < 8_000 && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(inner)
        }),
      ),
    ),
  )
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
  t.equal(lines.length, 8)
  t.match(JSON.parse(lines.at(-1) ?? ''), { level: 'error', event: 'note', message: 'shown' })
})
