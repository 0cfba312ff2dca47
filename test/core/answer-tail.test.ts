import { readFileSync } from 'node:fs'
import t from 'tap'
import { type AnswerApi, classifyEvent } from '../../src/core/answer.ts'
import { tailEndsProperly } from '../../src/core/answer-tail.ts'

const fixture = (name: string): string =>
  readFileSync(new URL(`../fixtures/wire-events/${name}`, import.meta.url), 'latin1')

t.test('tailEndsProperly: captured streams, and the same without their end', async (t) => {
  const cases: [AnswerApi, string][] = [
    ['chat', 'llamacpp-b11434-chat_stream.sse'],
    ['completions', 'llamacpp-b11434-compl_stream.sse'],
    ['responses', 'vllm-0.32.0-responses_stream.sse'],
    ['responses', 'llamacpp-b11434-responses_stream.sse'],
  ]
  for (const [api, name] of cases) {
    const stream = fixture(name)
    const events = stream.split(/(?<=\n\n)/)
    const end = events.findIndex((event) => classifyEvent(api, Buffer.from(event)).kind === 'end')
    t.ok(tailEndsProperly(api, stream.slice(-1000)), name)
    t.notOk(tailEndsProperly(api, events.slice(0, end).join('')), `${name}, cut`)
  }
  t.notOk(tailEndsProperly('chat', fixture('vllm-0.32.0-sigterm_abort.sse')))
  t.notOk(tailEndsProperly('chat', fixture('ollama-0.33.0-kill9_runner.sse')))
})

t.test('tailEndsProperly: the other APIs', async (t) => {
  const cases: [AnswerApi, string, boolean][] = [
    ['messages', '"delta":{"stop_reason": "end_turn"}}\n\n', true],
    ['messages', '"delta":{"stop_reason":null}}\n\nevent: message_stop\n\n', false],
    ['messages', '"delta":{"stop_reason":"abort"}}\n\n', false],
    ['messages', String.raw`"text":"\"stop_reason\":\"end_turn\""`, false],
    ['responses', '"text":"x","usage":null}', false],
    ['responses', '"status":"cancelled","usage":{}},"type":"response.completed"}\n\n', false],
    ['responses', '"usage":{}},"type":"response.failed"}\n\n', false],
    ['responses', String.raw`"text":"\"usage\":{ \"response.completed\""`, false],
    ['json', 'anything', true],
  ]
  for (const [api, tail, expected] of cases) t.equal(tailEndsProperly(api, tail), expected, tail)
})
