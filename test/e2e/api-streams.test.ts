import t from 'tap'
import { post } from '../support/ask.ts'
import { forwarded, gateOverTwo, readTyped, servedBy, type Two } from '../support/fake-client.ts'
import type { FakeUpstream } from '../support/fake-upstream.ts'

// Goal: /v1/responses and /v1/messages go through the gate as chat does: exact, failing over before
// content, told in their own words after it, stopped with their client.
// Method: one row per API, every ending, two upstreams in vLLM's wire shapes, real sockets.

/** Only the Responses API counts its events. */
interface Numbered {
  readonly sequence_number?: number
}

interface Row {
  readonly path: string
  readonly body: Record<string, unknown>
  /** Of a proper stream of three tokens, by name; what precedes the first content is held. */
  readonly names: readonly string[]
  readonly unary: object
  /** An error of the gate's own inside a stream. */
  readonly frame: (code: string) => object
  readonly aborts: readonly string[]
}

const ROWS: Readonly<Record<string, Row>> = {
  responses: {
    path: '/v1/responses',
    body: { model: 'default', input: 'hi' },
    names: [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      ...Array.from({ length: 3 }, () => 'response.output_text.delta'),
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ],
    unary: { object: 'response', status: 'completed', output: [{ type: 'message' }] },
    frame: (code) => ({ type: 'error', code, message: /./, error: { code } }),
    aborts: ['abort', 'error'],
  },
  messages: {
    path: '/v1/messages',
    body: { model: 'default', max_tokens: 16, messages: [{ role: 'user', content: 'hi' }] },
    names: [
      'message_start',
      'ping',
      'content_block_start',
      ...Array.from({ length: 3 }, () => 'content_block_delta'),
      'content_block_stop',
      'message_delta',
      'message_stop',
    ],
    unary: { type: 'message', stop_reason: 'end_turn', content: [{ type: 'text' }] },
    frame: (code) => ({ type: 'error', error: { type: 'api_error', message: /./, code } }),
    aborts: ['abort'],
  },
}

const AFTER: Readonly<Record<string, (up: FakeUpstream) => void>> = {
  reset: (up) => up.cutAfter(2, 'reset'),
  fin: (up) => up.cutAfter(2, 'fin'),
  'early chunked end': (up) => up.cutAfter(2, 'chunked-end'),
  'early end, EOF-framed': (up) => up.cutAfter(2, 'eof-framed'),
  'error event': (up) => up.errorFrame(2),
}

const BEFORE: Readonly<Record<string, (up: FakeUpstream) => void | Promise<void>>> = {
  'a refused connection': (up) => up.refuse(),
  'a reset before any byte': (up) => up.cutAfter(-1, 'reset'),
  'a reset before content': (up) => up.cutAfter(0, 'reset'),
  'an early end before content': (up) => up.cutAfter(0, 'chunked-end'),
  'an error event before content': (up) => up.errorFrame(0),
  'a 500': (up) => up.status(500, { error: { message: 'boom' } }),
  'an empty 200': (up) => up.empty(),
  'an error object in a 200': (up) => up.errorObject(),
  'a 503': (up) => up.status(503, { error: { message: 'busy' } }),
}

for (const [api, row] of Object.entries(ROWS)) {
  const { path } = row
  const ask = (two: Pick<Two, 'gate'>, over: object = {}, init: RequestInit = {}) =>
    post(`${two.gate.url}${path}`, JSON.stringify({ ...row.body, ...over }), init)

  t.test(`${api}: a unary answer comes byte for byte`, async (t) => {
    const two = await gateOverTwo(t)
    const answer = await ask(two, { model: 'm' })
    t.equal(answer.status, 200)
    t.equal(servedBy(answer), 'a')
    t.match(answer.headers.get('content-type'), /^application\/json/)
    const text = await answer.text()
    t.match(JSON.parse(text), { ...row.unary, model: 'm' })
    t.equal(Number(answer.headers.get('content-length')), text.length)
    const bytes = await (await post(`${two.a.url}${path}`, direct(row, false))).text()
    t.equal(text.replace(/of-a-\d+/, 'ID'), bytes.replace(/of-a-\d+/, 'ID'))
    t.match(two.gate.reason('a'), /^ok/)
  })

  t.test(`${api}: a stream comes event by event and ends cleanly`, async (t) => {
    const two = await gateOverTwo(t, { gapMs: 5 })
    const answer = await ask(two, { stream: true })
    t.match(answer.headers.get('content-type'), /^text\/event-stream/)
    const end = await readTyped(answer)
    t.strictSame(end.names, row.names)
    t.equal(end.text, 'tok0 tok1 tok2 ')
    t.notOk(end.broken)
    t.equal(end.error, null)
    t.equal(forwarded(two.b, path).length, 0)
  })

  t.test(`${api}: the first token does not wait for the second`, async (t) => {
    const two = await gateOverTwo(t, { gapMs: 20_000 })
    const leaving = new AbortController()
    const answer = await ask(two, { stream: true }, { signal: leaving.signal })
    const reader = answer.body?.getReader()
    let text = ''
    while (!text.includes('tok0')) {
      const { value, done } = (await reader?.read()) ?? { done: true }
      if (done) break
      text += Buffer.from(value).toString()
    }
    t.match(text, 'tok0')
    leaving.abort()
  })

  t.test(`${api}: the model is mapped out and back`, async (t) => {
    const two = await gateOverTwo(t, { strict: true }, { GENGATE_MODELS: 'fast=a:m|b:m' })
    for (const stream of [false, true]) {
      const answer = await ask(two, { model: 'fast', stream })
      t.equal(answer.status, 200)
      const text = await answer.text()
      t.match(text, '"model":"fast"')
      t.notMatch(text, '"model":"m"')
      t.match(JSON.parse(forwarded(two.a, path).at(-1)?.body ?? ''), { ...row.body, model: 'm' })
    }
  })

  t.test(`${api}: an error of the request is passed on and blames nobody`, async (t) => {
    const two = await gateOverTwo(t)
    const error = { message: 'too long', type: 'BadRequestError', param: null, code: 400 }
    two.a.status(400, { error })
    for (const stream of [false, true]) {
      const answer = await ask(two, { stream })
      t.equal(answer.status, 400)
      t.equal(await answer.text(), JSON.stringify({ error }))
    }
    t.equal(two.gate.reason('a'), 'ok')
    t.equal(forwarded(two.b, path).length, 0)
  })

  for (const stream of [true, false]) {
    const kind = stream ? 'stream' : 'unary'
    t.test(`${api}: a client that leaves stops the upstream (${kind})`, async (t) => {
      const two = await gateOverTwo(t)
      Object.assign(two.a.options, { tokens: 1_000, gapMs: 20 })
      const leaving = new AbortController()
      const asked = ask(two, { stream, max_tokens: 999 }, { signal: leaving.signal })
      if (stream) await (await asked).body?.getReader().read()
      else await two.gate.until(() => forwarded(two.a, path).length > 0)
      leaving.abort()
      await asked.catch(() => {})
      const mine = forwarded(two.a, path)[0]
      await two.gate.until(() => mine?.ended?.how === 'cut')
      t.equal(two.gate.reason('a'), 'ok')
      t.equal(forwarded(two.b, path).length, 0, 'and nobody else is asked')
    })

    for (const [name, fault] of Object.entries(BEFORE)) {
      t.test(`${api}: ${name} (${kind}) is answered by the other`, async (t) => {
        const two = await gateOverTwo(t)
        await fault(two.a)
        const answer = await ask(two, { stream })
        t.equal(answer.status, 200)
        t.equal(servedBy(answer), 'b')
        if (!stream) return t.match(await answer.json(), row.unary)
        const end = await readTyped(answer)
        t.strictSame(end.names, row.names, 'nothing of the first shows')
        t.notMatch(end.raw, 'of-a')
        return t.notOk(end.broken)
      })
    }
  }

  for (const [name, cut] of Object.entries(AFTER)) {
    t.test(`${api}: ${name} after content is an error event and a broken end`, async (t) => {
      const two = await gateOverTwo(t, { tokens: 5, gapMs: 5 })
      cut(two.a)
      const end = await readTyped(await ask(two, { stream: true }))
      t.equal(end.text, 'tok0 tok1 ')
      const code = name === 'error event' ? 'upstream_error' : 'upstream_truncated'
      t.match(end.error, row.frame(code))
      t.ok(end.broken)
      t.notMatch(end.raw, /response\.(completed|failed)|message_stop|\[DONE\]/)
      t.equal(end.names.filter((one) => one === 'error').length, 1)
      const numbers = end.events.map(({ data }) => (data as Numbered).sequence_number)
      const counted = numbers.map((_, index) => (api === 'responses' ? index : undefined))
      t.strictSame(numbers, counted, 'the error goes on counting')
    })
  }

  for (const reason of row.aborts) {
    t.test(`${api}: an end by ${reason} is no proper end`, async (t) => {
      const two = await gateOverTwo(t)
      two.a.finishWith(reason)
      const end = await readTyped(await ask(two, { stream: true }))
      t.match(end.error, row.frame(reason === 'error' ? 'upstream_error' : 'upstream_truncated'))
      t.ok(end.broken)
      t.notMatch(end.raw, /response\.completed|message_stop/)
    })

    t.test(`${api}: a unary answer that ended by ${reason} is the other's to give`, async (t) => {
      const two = await gateOverTwo(t)
      two.a.finishWith(reason)
      const answer = await ask(two)
      t.equal(answer.status, 200)
      t.equal(servedBy(answer), 'b')
    })
  }

  t.test(`${api}: an end at the limit of tokens is proper`, async (t) => {
    const two = await gateOverTwo(t)
    two.a.finishWith('length')
    const end = await readTyped(await ask(two, { stream: true }))
    t.strictSame(end.names, row.names)
    t.notOk(end.broken)
    t.match(await (await ask(two)).text(), /incomplete|max_tokens/)
    t.equal(forwarded(two.b, path).length, 0)
  })

  t.test(`${api}: a reset after the last event takes nothing back`, async (t) => {
    const two = await gateOverTwo(t)
    two.a.handlers.set(path, (req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      req.resume().on('end', async () => {
        const whole = await (await post(`${two.b.url}${path}`, direct(row, true))).text()
        res.write(whole)
        setTimeout(() => res.socket?.resetAndDestroy(), 20)
      })
    })
    const end = await readTyped(await ask(two, { stream: true }))
    t.equal(end.error, null)
    t.strictSame(end.names, row.names)
    t.notOk(end.broken)
  })
}

function direct(row: Row, stream: boolean): string {
  return JSON.stringify({ ...row.body, model: 'm', stream })
}
