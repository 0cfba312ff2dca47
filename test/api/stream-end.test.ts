import t from 'tap'
import { classifyEvent } from '../../src/api/answer.ts'
import { isRagged, StreamEnd } from '../../src/api/stream-end.ts'
import type { EndRule } from '../../src/core/health/evidence.ts'
import { type ApiName, ANSWERS } from '../support/answer-apis.ts'

const choice = (reason: string | null, index = 0) =>
  JSON.stringify({ choices: [{ index, delta: { content: 'x' }, finish_reason: reason }] })
const DONE = '[DONE]'

/** How far a stream of these events has come. */
function endOf(api: ApiName, rule: EndRule, data: readonly string[]): StreamEnd {
  const end = new StreamEnd(ANSWERS[api], rule)
  for (const one of data) end.note(classifyEvent(ANSWERS[api], Buffer.from(`data: ${one}\n\n`)))
  return end
}

t.test('a stream of choices ends by the rule of its upstream', async (t) => {
  const rows: readonly [EndRule, readonly string[], proper: boolean, complete: boolean][] = [
    ['finish_reason', [choice(null)], false, false],
    ['finish_reason', [choice('stop')], true, false],
    ['finish_reason', [choice('a new word'), DONE], true, true],
    ['finish_reason', [choice(null), DONE], false, false],
    ['finish_reason', [choice(null, 1), choice('stop'), DONE], false, false],
    ['finish_reason', [choice('stop'), choice(null)], false, false],
    ['done', [choice(null), DONE], true, true],
    ['done', [DONE], false, false],
    ['done', [choice('stop')], false, false],
    ['learn', [choice(null), DONE], true, true],
    ['learn', [choice(null, 1), choice('stop'), DONE], false, false],
  ]
  for (const [rule, data, proper, complete] of rows) {
    const end = endOf('chat', rule, data)
    t.equal(end.proper, proper, `${rule}: ${data.join(' ')}`)
    t.equal(end.complete, complete, `${rule}: ${data.join(' ')}, whatever follows`)
    t.equal(end.broken, data.includes(DONE) && !proper)
  }
})

t.test('the events of other APIs name their end, whatever the upstream does', async (t) => {
  const over = '{"type":"response.completed","response":{"status":"completed"}}'
  t.ok(endOf('responses', 'done', [over]).complete, 'nothing follows')
  const stopped = '{"type":"message_delta","delta":{"stop_reason":"end_turn"}}'
  t.notOk(endOf('messages', 'done', [stopped]).complete)
  t.ok(endOf('messages', 'done', [stopped, '{"type":"message_stop"}']).complete)
})

t.test('what a stream shows is told while it is being learned', async (t) => {
  t.equal(endOf('chat', 'learn', [choice(null)]).sign, null)
  t.equal(endOf('chat', 'learn', [choice(null), DONE]).sign, 'done')
  t.equal(endOf('chat', 'learn', [choice('stop')]).sign, 'finish_reason')
  t.equal(endOf('chat', 'finish_reason', [choice('stop')]).sign, null)
})

const ragged = (text: string) => isRagged(Buffer.from(text), { kind: 'neutral' })

t.test('isRagged(): half an event is the end of no stream', async (t) => {
  t.ok(ragged('data: {"usage":{"a'))
  t.ok(ragged('data: [DO'))
  for (const rest of ['', '\n', ': ping', 'data: {"usage":{}}']) t.notOk(ragged(rest), rest)
  t.notOk(isRagged(Buffer.from('data: x'), { kind: 'done' }))
})
