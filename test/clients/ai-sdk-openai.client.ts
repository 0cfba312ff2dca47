import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aiOpenAi, aiResponses as byDefault, name } from './ai-sdk-openai.ts'
import { prove } from './prove.ts'
import { failureOf, stage, TEXT } from './stage.ts'

prove(aiOpenAi)

const ask = { model: 'default', retries: 2 }

test(`${name}: its default works where the engine has /v1/responses`, async (t) => {
  const { baseURL, upstream, gate } = await stage(t, {}, { GENGATE_A_ENGINE: 'vllm' })
  assert.equal(await byDefault.chat({ ...ask, baseURL }), TEXT)
  assert.equal((await byDefault.stream({ ...ask, baseURL })).text, TEXT)
  assert.equal(upstream.generations.at(-1)?.url, '/v1/responses')
  for (const how of ['reset', 'fin', 'chunked-end', 'eof-framed'] as const) {
    upstream.cutAfter(2, how)
    const failure = await failureOf(byDefault.stream({ ...ask, baseURL }))
    assert.equal(byDefault.codeOf(failure), 'upstream_truncated', how)
    upstream.ok()
    await gate.untilReason('a', 'ok')
  }
})

test(`${name}: its default tells what an engine without the route answers`, async (t) => {
  const { baseURL } = await stage(t, { missing: ['responses'] })
  const failure = await failureOf(byDefault.chat({ ...ask, baseURL }))
  // The engine's own words, unchanged; this one is a FastAPI server.
  assert.equal((failure as { statusCode?: unknown }).statusCode, 404)
  assert.equal((failure as { responseBody?: unknown }).responseBody, '{"detail":"Not Found"}')
  assert.equal(failure.message, 'Not Found')
})

test(`${name}: its default is told when no engine is known to have the route`, async (t) => {
  const { baseURL, upstream } = await stage(t, {}, { GENGATE_A_ENGINE: 'mlx' })
  const before = upstream.generations.length
  const failure = await failureOf(byDefault.chat({ ...ask, baseURL }))
  assert.equal(byDefault.codeOf(failure), 'not_found')
  assert.match(failure.message, /has \/v1\/responses; engines that have it: vllm, /)
  assert.equal(upstream.generations.length, before, 'the engine was not asked')
})
