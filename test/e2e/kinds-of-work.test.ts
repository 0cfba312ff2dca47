import { once } from 'node:events'
import t from 'tap'
import { chatBody, post, servedBy } from '../support/ask.ts'
import type { StatusDocument } from '../../src/operator/status.ts'
import { fakeUpstream, type Handler } from '../support/fake-upstream.ts'
import { startGate } from '../support/start-gate.ts'

// Rows of docs/faults.md that are shown here: tokenize-hides-no-wedge, unread-stream,
// chat-wedged-embeddings-well, embeddings-only.

// Goal: only a generation proves a generation, and an embedding proves embeddings.
// Method: real servers whose chat hangs while other routes answer, or the other way round.

// Most of it is waiting.
t.jobs = 4

const QUICK = { GENGATE_DETECT_WITHIN_MS: '1200', GENGATE_PROBE_INTERVAL_MS: '250' }

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** The gate may have closed meanwhile. */
const gone = (): void => {}

t.test('counting tokens does not hide an engine whose every chat hangs', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  a.handlers.set('/tokenize', (_req, res) => res.end('{"tokens":[1]}'))
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}`, ...QUICK })
  await gate.untilReason('a', 'ok')
  a.freeze()
  const counting = setInterval(() => {
    void post(`${gate.url}/tokenize`, '{"prompt":"x"}').then((answer) => answer.text(), gone)
  }, 50)
  t.teardown(() => clearInterval(counting))
  const hung = post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true }))
  await gate.until(() => gate.reason('a') === 'wedged', 6_000)
  t.equal((await hung).status, 504, 'and nobody waits for it any more')
})

t.test('a long stream that its client does not read is no silence of the engine', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  const b = await fakeUpstream(t, { models: ['m'] })
  const piece = JSON.stringify({ choices: [{ index: 0, delta: { content: 'x'.repeat(60_000) } }] })
  const last = JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
  const endless: Handler = async (req, res) => {
    let body = ''
    for await (const chunk of req) body += String(chunk)
    if (!body.includes('"stream":true')) {
      const choices = [{ index: 0, message: { content: 'x' }, finish_reason: 'stop' }]
      return res.end(JSON.stringify({ choices, usage: { completion_tokens: 1 } }))
    }
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let sent = 0; sent < 800; sent++) {
      if (!res.write(`data: ${piece}\n\n`)) await once(res, 'drain')
    }
    return res.end(`data: ${last}\n\ndata: [DONE]\n\n`)
  }
  a.handlers.set('/v1/chat/completions', endless)
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`, ...QUICK })
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  const seen = new Set<string | undefined>()
  const answer = await post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true }))
  const reader = answer.body?.getReader()
  await reader?.read()
  for (let looks = 0; looks < 50; looks++) {
    await pause(50)
    seen.add(gate.reason('a'))
  }
  t.notOk(seen.has('silent') || seen.has('probe_missed'), [...seen].join(' '))
  let bytes = 0
  for (let step = await reader?.read(); step?.done === false; step = await reader?.read()) {
    bytes += step.value.length
  }
  t.ok(bytes > 40_000_000, 'all of it arrives when it reads on')
  const [entry] = gate.app.store.current.entries
  t.ok((entry?.facts.longestGapMs ?? 0) < 1_000, 'and its gap teaches nothing')
})

const embed = (url: string) => post(`${url}/v1/embeddings`, '{"model":"m","input":"x"}')
const vectors: Handler = (_req, res) => {
  res.writeHead(200, { 'content-type': 'application/json' })
  res.end('{"object":"list","data":[{"index":0,"embedding":[0.1]}],"model":"m"}')
}

t.test('a chat that is wedged is not hidden by embeddings, which are still served', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  const b = await fakeUpstream(t, { models: ['m'] })
  a.handlers.set('/v1/embeddings', vectors)
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`, ...QUICK })
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  a.freeze()
  const served = new Set<string | null>()
  const embedding = setInterval(() => {
    void embed(gate.url).then((answer) => {
      served.add(`${answer.status} ${servedBy(answer)}`)
      return answer.text()
    }, gone)
  }, 50)
  t.teardown(() => clearInterval(embedding))
  const chat = await post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true }))
  t.equal(servedBy(chat), 'b')
  await chat.text()
  await gate.until(() => gate.reason('a') === 'wedged', 8_000)
  t.strictSame([...served], ['200 a'])
})

t.test('an engine that only embeds gets embeddings, and no chat while another can', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'], missing: ['chat', 'completions'] })
  const b = await fakeUpstream(t, { models: ['m'] })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`, ...QUICK })
  await gate.untilReason('a', 'embeddings_only')
  await gate.untilReason('b', 'ok')
  const chat = await post(`${gate.url}/v1/chat/completions`, chatBody())
  t.equal(servedBy(chat), 'b')
  t.equal((await embed(gate.url)).headers.get('x-gengate-upstream'), 'a')
  const status = (await (await fetch(`${gate.url}/gate/status`)).json()) as StatusDocument
  const [first] = status.upstreams
  t.match(first, { eligible: false, reason: 'embeddings_only', works: { embedding: 'proven' } })
  t.equal(first?.last_generation_at, null)
})
