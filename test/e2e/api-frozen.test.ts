import t from 'tap'
import { post } from '../support/ask.ts'
import { forwarded, gateOverTwo, readTyped, servedBy, type Two } from '../support/fake-client.ts'

// Goal: what a frozen engine still says, `response.created` and `response.in_progress`,
// `message_start`, a `ping` now and then, is no content: its requests are answered by another.
// Method: the preferred upstream freezes after these events, or before any; real time.

// Most of it is waiting.
t.jobs = 4

const APIS = {
  responses: { path: '/v1/responses', body: { input: 'hi' }, last: 'response.completed' },
  messages: {
    path: '/v1/messages',
    body: { max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] },
    last: 'message_stop',
  },
} as const

for (const [api, { path, body, last }] of Object.entries(APIS)) {
  const ask = (two: Two, stream: boolean) =>
    post(`${two.gate.url}${path}`, JSON.stringify({ model: 'default', stream, ...body }))

  for (const stream of [true, false]) {
    const kind = stream ? 'stream' : 'unary'
    t.test(
      `${api} (${kind}): frozen after its first events is answered by the other`,
      async (t) => {
        const two = await gateOverTwo(t)
        two.a.headersOnly()
        const answer = await ask(two, stream)
        t.equal(servedBy(answer), 'b')
        t.equal(answer.status, 200)
        const text = stream ? (await readTyped(answer)).raw : await answer.text()
        t.notMatch(text, 'of-a', 'nothing of the first shows')
        if (stream) t.match(text, last)
        await two.gate.until(() => forwarded(two.a, path)[0]?.ended?.how === 'cut')
        // The first was moved for its silence alone: only the probe says something of the next one.
        await two.gate.until(() => !/^(ok|busy)/.test(two.gate.reason('a') ?? 'ok'))
        t.equal(servedBy(await ask(two, stream)), 'b', 'the next one goes there at once')
        t.equal(forwarded(two.a, path).length, 1)
      },
    )
  }

  t.test(
    `${api}: frozen after a token, the client is told and later ones go elsewhere`,
    async (t) => {
      const two = await gateOverTwo(t)
      two.a.oneTokenThenFreeze()
      const end = await readTyped(await ask(two, true))
      t.equal(end.text, 'tok0 ')
      t.match(end.error, { type: 'error', error: { code: 'upstream_stalled' } })
      t.ok(end.broken)
      t.notMatch(end.raw, last)
      t.equal(servedBy(await ask(two, true)), 'b')
    },
  )
}

t.test('after the commit deadline the other answers under the head that went out', async (t) => {
  for (const { path, body, last } of Object.values(APIS)) {
    const two = await gateOverTwo(t, {}, { GENGATE_COMMIT_DEADLINE_MS: '200' })
    two.a.headersOnly()
    const answer = await post(`${two.gate.url}${path}`, JSON.stringify({ stream: true, ...body }))
    t.equal(servedBy(answer), 'pending')
    const end = await readTyped(answer)
    t.match(end.raw, /^: keep-alive\n\n/)
    t.match(end.raw, ': gengate upstream=b\n\n')
    t.equal(end.names.at(-1), last)
    t.equal(end.text, 'tok0 tok1 tok2 ')
    t.notOk(end.broken)
  }
})

t.test(
  'an error of the request after the commit deadline is told, never an empty stream',
  async (t) => {
    const chat = { path: '/v1/chat/completions', body: { messages: [] } }
    for (const { path, body } of [...Object.values(APIS), chat]) {
      const two = await gateOverTwo(t, {}, { GENGATE_COMMIT_DEADLINE_MS: '100' })
      two.a.options.ttftMs = 300
      two.a.status(400, { error: { message: 'too long', type: 'BadRequestError', code: 400 } })
      const answer = await post(`${two.gate.url}${path}`, JSON.stringify({ stream: true, ...body }))
      t.equal(servedBy(answer), 'pending')
      const { raw, broken } = await readTyped(answer)
      t.match(raw, /^data: \{.*"message":"too long"/m, path)
      t.notMatch(raw, /^\{/m, path)
      t.ok(broken, path)
      t.match(two.gate.reason('a'), /^ok/)
    }
  },
)
