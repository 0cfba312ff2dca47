import t, { type Test } from 'tap'
import { post, readStream, servedBy } from '../support/ask.ts'
import { forwarded, gateOverTwo, type Two } from '../support/gates.ts'

// Rows of docs/bad-input.md that are shown here: response-of-before.

// Goal: a response is asked of the upstream that made it, which alone has it; where that one is
// gone the client is told, and nobody else is asked.
// Method: `b` makes responses while it is preferred, then `a` is preferred again.

// Most of it is waiting.
t.jobs = 6

const RESPONSES = '/v1/responses'

/** A gate that prefers `a`, and the ids of a unary and a streamed response that `b` made. */
async function madeByB(
  t: Test,
  env: Record<string, string> = {},
): Promise<Two & { ids: string[] }> {
  const two = await gateOverTwo(t, {}, { LOCAL_LLM_BACKEND: 'b', ...env })
  const unary = await create(two)
  t.equal(servedBy(unary), 'b')
  const { id } = (await unary.json()) as { id: string }
  const end = await readStream(await create(two, { stream: true }))
  const { response } = JSON.parse(end.events[0] ?? '{}') as { response: { id: string } }
  two.gate.reload(envOf(two, env))
  t.equal(servedBy(await create(two)), 'a', 'a is preferred')
  return { ...two, ids: [id, response.id] }
}

function envOf({ a, b }: Two, env: Record<string, string> = {}): Record<string, string> {
  return { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`, ...env }
}

function create({ gate }: Pick<Two, 'gate'>, over: object = {}): Promise<Response> {
  const body = { model: 'default', input: 'hi', ...over }
  return post(`${gate.url}${RESPONSES}`, JSON.stringify(body))
}

const ASKS: Readonly<Record<string, (url: string, id: string) => Promise<Response>>> = {
  'GET /v1/responses/{id}': (url, id) => fetch(`${url}${RESPONSES}/${id}`),
  'GET /v1/responses/{id} with a query': (url, id) =>
    fetch(`${url}${RESPONSES}/${id}?include=usage&starting_after=1`),
  'GET /v1/responses/{id}/input_items': (url, id) => fetch(`${url}${RESPONSES}/${id}/input_items`),
  'POST /v1/responses/{id}/cancel': (url, id) =>
    fetch(`${url}${RESPONSES}/${id}/cancel`, { method: 'POST' }),
  'DELETE /v1/responses/{id}': (url, id) => fetch(`${url}${RESPONSES}/${id}`, { method: 'DELETE' }),
  previous_response_id: (url, id) =>
    post(`${url}${RESPONSES}`, JSON.stringify({ input: 'on', previous_response_id: id })),
  'previous_response_id, streamed': (url, id) =>
    post(
      `${url}${RESPONSES}`,
      JSON.stringify({ input: 'on', previous_response_id: id, stream: true }),
    ),
}

for (const [name, ask] of Object.entries(ASKS)) {
  t.test(`${name} is asked of the one that made it`, async (t) => {
    const two = await madeByB(t)
    const before = forwarded(two.a, RESPONSES).length
    for (const id of two.ids) {
      const answer = await ask(two.gate.url, id)
      t.equal(answer.status, 200, id)
      t.equal(servedBy(answer), 'b')
      await answer.text()
      const last = forwarded(two.b, RESPONSES).at(-1)
      t.ok(`${last?.url} ${last?.body}`.includes(id), 'by its id')
    }
    t.equal(forwarded(two.a, RESPONSES).length, before)
  })

  t.test(`${name} of nobody's is 404 response_not_found`, async (t) => {
    const two = await madeByB(t)
    const before = forwarded(two.a, RESPONSES).length + forwarded(two.b, RESPONSES).length
    const answer = await ask(two.gate.url, 'resp_unheard')
    t.equal(answer.status, 404)
    t.match(await answer.json(), { error: { code: 'response_not_found' } })
    t.equal(answer.headers.get('x-should-retry'), 'false')
    t.equal(forwarded(two.a, RESPONSES).length + forwarded(two.b, RESPONSES).length, before)
  })

  t.test(`${name} whose maker is down is 503 and says why`, async (t) => {
    const two = await madeByB(t, { GENGATE_HOLD_MS: '50' })
    const before = forwarded(two.a, RESPONSES).length
    await two.b.refuse()
    await two.gate.until(() => two.gate.reason('b') === 'refused')
    const answer = await ask(two.gate.url, two.ids[0] ?? '')
    t.equal(answer.status, 503)
    t.match(await answer.json(), {
      error: { code: 'no_eligible_upstream', message: /\bb\b.*refused/i },
    })
    t.match(answer.headers.get('retry-after'), /^\d+$/)
    t.equal(forwarded(two.a, RESPONSES).length, before)
  })

  t.test(`${name} whose maker was taken away is 404 response_not_found`, async (t) => {
    const two = await madeByB(t, { GENGATE_HOLD_MS: '50' })
    two.gate.reload({ GENGATE_UPSTREAMS: `a=${two.a.url}`, GENGATE_HOLD_MS: '50' })
    const answer = await ask(two.gate.url, two.ids[0] ?? '')
    t.equal(answer.status, 404)
    t.match(await answer.json(), { error: { code: 'response_not_found' } })
  })
}

t.test('a unary response over a megabyte is kept by its own id', async (t) => {
  const two = await gateOverTwo(t, {}, { LOCAL_LLM_BACKEND: 'b' })
  const text = 'x'.repeat(2 * 1024 * 1024)
  const output = [{ type: 'message', id: 'msg_1', content: [{ type: 'output_text', text }] }]
  const made = { output, object: 'response', status: 'completed', id: 'resp_large' }
  two.b.status(200, made)
  t.equal(((await (await create(two)).json()) as { id: string }).id, 'resp_large')
  two.gate.reload(envOf(two))
  two.b.kept.set('resp_large', '{"id":"resp_large","status":"completed"}')
  const answer = await fetch(`${two.gate.url}${RESPONSES}/resp_large`)
  t.equal(answer.status, 200)
  t.equal(servedBy(answer), 'b')
})

t.test('one upstream alone is asked for a response that the gate never saw', async (t) => {
  const two = await gateOverTwo(t)
  two.gate.reload({ GENGATE_UPSTREAMS: `b=${two.b.url}` })
  two.b.kept.set('resp_before', '{"id":"resp_before"}')
  t.equal((await create(two, { previous_response_id: 'resp_before' })).status, 200)
  t.equal(servedBy(await fetch(`${two.gate.url}${RESPONSES}/resp_before`)), 'b')
})

t.test('a model that the maker does not serve is told as such', async (t) => {
  const two = await madeByB(t)
  const models = { GENGATE_A_MODEL: 'large', GENGATE_MODELS: 'big=a:large; small=b:m' }
  two.gate.reload({ ...envOf(two), ...models })
  const [previous] = two.ids
  t.equal((await create(two, { model: 'small', previous_response_id: previous })).status, 200)
  const answer = await create(two, { model: 'big', previous_response_id: previous })
  t.equal(answer.status, 400)
  t.equal(answer.headers.get('x-should-retry'), 'false')
  t.match(await answer.json(), {
    error: {
      code: 'response_model_mismatch',
      param: 'model',
      message: /does not serve this model.*b keeps it and serves small\./,
    },
  })
  // Whatever the first group is: what is only fetched names no model.
  t.equal((await fetch(`${two.gate.url}${RESPONSES}/${previous}`)).status, 200)
})

t.test('a request that refers to a response never fails over', async (t) => {
  for (const fault of ['status', 'cut'] as const) {
    const two = await madeByB(t)
    const before = forwarded(two.a, RESPONSES).length
    if (fault === 'status') two.b.status(500, { error: { message: 'boom' } })
    else two.b.cutAfter(-1, 'reset')
    const answer = await create(two, { previous_response_id: two.ids[0] })
    t.equal(answer.status, fault === 'status' ? 500 : 502)
    t.match(await answer.json(), { error: { message: fault === 'status' ? 'boom' : /./ } })
    t.equal(forwarded(two.a, RESPONSES).length, before)
  }
})

t.test('what the upstream says of its own responses comes back unchanged', async (t) => {
  const two = await madeByB(t)
  const [id = ''] = two.ids
  two.b.kept.clear()
  const answer = await fetch(`${two.gate.url}${RESPONSES}/${id}`)
  t.equal(answer.status, 404)
  t.match(await answer.json(), { error: { message: `Response with id '${id}' not found.` } })
  t.match(two.gate.reason('b'), /^ok/)
})

t.test('previous_response_id null or of another type asks nobody in particular', async (t) => {
  const two = await madeByB(t)
  t.equal(servedBy(await create(two, { previous_response_id: null })), 'a')
  const odd = await create(two, { previous_response_id: 7 })
  t.ok([200, 400].includes(odd.status), String(odd.status))
  const other = await post(
    `${two.gate.url}/v1/chat/completions`,
    JSON.stringify({ messages: [], previous_response_id: 'resp_unheard' }),
  )
  t.equal(other.status, 200, 'and on other routes it means nothing')
})

t.test('routes below /v1/responses that name no response go to the first servable', async (t) => {
  const two = await madeByB(t)
  for (const word of ['input_tokens', 'compact', 'render']) {
    const path = `${RESPONSES}/${word}`
    two.a.handlers.set(path, (req, res) => {
      req.resume()
      res.writeHead(200, { 'content-type': 'application/json' }).end('{"object":"x"}')
    })
    const answer = await post(`${two.gate.url}${path}`, JSON.stringify({ input: 'hi' }))
    t.equal(answer.status, 200, word)
    t.equal(servedBy(answer), 'a', word)
  }
})

t.test('a response in the background is kept, too, and goes on after its answer', async (t) => {
  const two = await gateOverTwo(t, {}, { LOCAL_LLM_BACKEND: 'b' })
  two.b.status(200, { id: 'resp_slow', object: 'response', status: 'queued', output: [] })
  t.equal((await create(two, { background: true })).status, 200)
  two.gate.reload(envOf(two))
  two.b.kept.set('resp_slow', '{"id":"resp_slow","status":"completed"}')
  const answer = await fetch(`${two.gate.url}${RESPONSES}/resp_slow`)
  t.match(await answer.json(), { status: 'completed' })
})
