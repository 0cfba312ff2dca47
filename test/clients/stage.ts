import type { TestContext } from 'node:test'
import { chatBody, post } from '../support/ask.ts'
import { FakeUpstream, type FakeOptions } from '../support/fake-upstream.ts'
import { startGate, type TestGate } from '../support/start-gate.ts'

/** What a client is pointed at: a gate in front of one fake upstream, `a`, which is proven. */
export interface Stage {
  readonly upstream: FakeUpstream
  readonly gate: TestGate
  /** Ends in `/v1`. */
  readonly baseURL: string
  /** Requests that the log says ended with this error code, so far. */
  readonly ended: (code: string) => number
  /** Ends the upstream and waits until the gate has thrown it out. */
  readonly takeOut: () => Promise<void>
}

/** What the upstream of a stage generates, in five tokens. */
export const TEXT = 'tok0 tok1 tok2 tok3 tok4 '

/** Sets a stage up and takes it down after `t`. */
export async function stage(
  t: TestContext,
  options: FakeOptions = {},
  env: Record<string, string> = {},
): Promise<Stage> {
  const ends = teardownOf(t)
  const upstream = new FakeUpstream({ models: ['m'], tokens: 5, gapMs: 10, ...options })
  ends.teardown(() => upstream.close())
  await upstream.listen()
  const upstreams = { GENGATE_UPSTREAMS: `a=${upstream.url}`, GENGATE_HOLD_MS: '50' }
  const gate = await startGate(ends, { ...upstreams, ...env })
  await gate.untilReason('a', 'ok')
  return {
    upstream,
    gate,
    baseURL: `${gate.url}/v1`,
    ended: (code) => gate.lines.filter((line) => line.includes(code)).length,
    async takeOut() {
      await upstream.refuse()
      // While nobody asks, the next probe is a minute away.
      await (await post(`${gate.url}/v1/chat/completions`, chatBody())).text()
      await gate.untilReason('a', 'refused')
    },
  }
}

/** Node's test context as the test support wants it: ends run after `t`, the last one first. */
export function teardownOf(t: TestContext): { teardown: (end: () => Promise<void>) => unknown } {
  const ends: (() => Promise<void>)[] = []
  t.after(async () => {
    for (const end of ends.toReversed()) await end()
  })
  return { teardown: (end) => ends.push(end) }
}

/** What a promise was rejected with. Throws when it was not. */
export async function failureOf(promise: PromiseLike<unknown>): Promise<Error> {
  let value: unknown
  try {
    value = await promise
  } catch (error) {
    return error as Error
  }
  throw new Error(`taken for a success: ${JSON.stringify(value)}`)
}

/** An event stream in which the model calls one function, its arguments in four pieces. */
export function toolStream(): string {
  const first = { index: 0, id: 'call_1', type: 'function' }
  const pieces = ['{"city"', ': "Mün', 'chen", "days"', ': 3}']
  const deltas = [
    { role: 'assistant', content: null },
    { tool_calls: [{ ...first, function: { name: TOOL.name, arguments: '' } }] },
    ...pieces.map((text) => ({ tool_calls: [{ index: 0, function: { arguments: text } }] })),
  ]
  const choices = [
    ...deltas.map((delta) => ({ index: 0, delta, finish_reason: null })),
    { index: 0, delta: {}, finish_reason: 'tool_calls' },
  ]
  const envelope = { id: 'gen-tool', object: 'chat.completion.chunk', created: 1, model: 'm' }
  const events = choices.map((choice) => JSON.stringify({ ...envelope, choices: [choice] }))
  return [...events, '[DONE]'].map((data) => `data: ${data}\n\n`).join('')
}

/** The function that `toolStream` calls, as clients describe it. */
export const TOOL = {
  name: 'weather',
  description: 'The weather of a city.',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' }, days: { type: 'integer' } },
    required: ['city', 'days'],
  },
} as const
