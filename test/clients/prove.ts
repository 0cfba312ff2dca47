import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failureOf, stage, TEXT, toolStream } from './stage.ts'

/** Where a client is pointed at, and what for. */
export interface Ask {
  /** Ends in `/v1`. */
  readonly baseURL: string
  /** Null: nobody names one. */
  readonly model: string | null
  /** How many times the client may try again by itself. */
  readonly retries: number
}

/** A stream that a client read to its end and took for complete. */
export interface Streamed {
  readonly text: string
  /** Generated tokens, from `usage`. */
  readonly tokens: number | undefined
}

/** A function call as the client hands it to its user. */
export interface Called {
  readonly id: string | undefined
  readonly name: string | undefined
  /** Parsed. */
  readonly args: unknown
}

/** One real client. Each function does what that client's manual says, and rejects with whatever
 *  the client raises. */
export interface Driver {
  /** With its version. */
  readonly name: string
  readonly chat: (ask: Ask) => Promise<string>
  readonly stream: (ask: Ask) => Promise<Streamed>
  /** Streams an answer that calls the function of `TOOL`. */
  readonly tools: (ask: Ask) => Promise<Called[]>
  /** Begins a stream and leaves it after its first text. */
  readonly abort: (ask: Ask) => Promise<void>
  /** Model names; null: the client cannot list. */
  readonly models: ((ask: Ask) => Promise<string[]>) | null
  /** The code of the gate's error in what the client raised. */
  readonly codeOf: (error: Error) => unknown
  /** Does it wait as long as `Retry-After` says? */
  readonly waitsAsTold: boolean
}

/** Proves the list that every client must pass. */
export function prove(driver: Driver): void {
  const { codeOf, models, name } = driver
  const ask = { model: 'default', retries: 0 }

  test(`${name}: chat`, async (t) => {
    const { baseURL } = await stage(t)
    assert.equal(await driver.chat({ ...ask, baseURL }), TEXT)
  })

  test(`${name}: a stream with usage`, async (t) => {
    const { baseURL, upstream } = await stage(t)
    const streamed = await driver.stream({ ...ask, baseURL })
    assert.deepEqual(streamed, { text: TEXT, tokens: 5 })
    assert.match(upstream.generations.at(-1)?.body ?? '', /"stream":\s*true/)
  })

  test(`${name}: tool-call deltas pass through`, async (t) => {
    const { baseURL, upstream } = await stage(t)
    upstream.status(200, toolStream(), { 'content-type': 'text/event-stream' })
    const called = await driver.tools({ ...ask, baseURL })
    const args = { city: 'München', days: 3 }
    assert.deepEqual(called, [{ id: 'call_1', name: 'weather', args }])
    const sent = JSON.parse(upstream.generations.at(-1)?.body ?? '') as { tools?: unknown[] }
    assert.equal(sent.tools?.length, 1, 'the upstream got the description of the function')
  })

  test(`${name}: an abort reaches the upstream`, async (t) => {
    const { baseURL, upstream, gate } = await stage(t, { tokens: 1_000 })
    await driver.abort({ ...ask, baseURL })
    await gate.until(() => upstream.generations.at(-1)?.ended?.how === 'cut')
    assert.equal(upstream.running, 0)
  })

  test(`${name}: a 503 is tried again, then raised with its code`, async (t) => {
    const { baseURL, takeOut, ended } = await stage(t)
    await takeOut()
    const before = ended('no_eligible_upstream')
    const failure = await failureOf(driver.chat({ ...ask, baseURL, retries: 1 }))
    assert.equal(codeOf(failure), 'no_eligible_upstream')
    assert.match(failure.message, /a: refused for .*Start the engine, or check the URL/)
    assert.equal(ended('no_eligible_upstream') - before, 2, 'one try and one more')
  })

  test(`${name}: the Retry-After of a busy engine arrives`, async (t) => {
    const { baseURL, upstream, gate } = await stage(t)
    const before = upstream.generations.length
    upstream.status(503, { error: { message: 'busy' } }, { 'retry-after': '3' })
    const startedAt = performance.now()
    const chat = driver.chat({ ...ask, baseURL, retries: 1 })
    await gate.until(() => upstream.generations[before]?.ended?.how === 'finished')
    upstream.ok()
    assert.equal(await chat, TEXT)
    // Left to themselves they wait for two seconds at most.
    const tookMs = performance.now() - startedAt
    if (driver.waitsAsTold) assert.ok(tookMs >= 2_950, `${tookMs} ms`)
  })

  test(`${name}: an upstream that returns while the client tries again serves it`, async (t) => {
    const env = { GENGATE_HOLD_MS: '2000' }
    const { baseURL, upstream, gate, takeOut, ended } = await stage(t, {}, env)
    await takeOut()
    const before = ended('no_eligible_upstream')
    const chat = driver.chat({ ...ask, baseURL, retries: 3 })
    await gate.until(() => ended('no_eligible_upstream') > before)
    await upstream.listen()
    assert.equal(await chat, TEXT)
  })

  test(`${name}: an unknown model is raised at once, with its code`, async (t) => {
    const { baseURL, ended } = await stage(t)
    const failure = await failureOf(driver.chat({ ...ask, baseURL, model: 'nope', retries: 3 }))
    assert.equal(codeOf(failure), 'model_not_found')
    assert.match(failure.message, /Known: default, m\./)
    assert.equal(ended('model_not_found'), 1, 'no second try')
  })

  for (const how of ['reset', 'fin', 'chunked-end', 'eof-framed'] as const) {
    test(`${name}: a stream cut mid-way (${how}) raises`, async (t) => {
      const { baseURL, upstream } = await stage(t)
      upstream.cutAfter(2, how)
      const failure = await failureOf(driver.stream({ ...ask, baseURL }))
      assert.equal(codeOf(failure), 'upstream_truncated')
    })
  }

  test(`${name}: a stream whose engine dies with an error and [DONE] raises`, async (t) => {
    const { baseURL, upstream } = await stage(t)
    upstream.errorFrame(2)
    const failure = await failureOf(driver.stream({ ...ask, baseURL }))
    assert.match(failure.message, /EngineCore encountered an issue/)
  })

  test(`${name}: a stream that the engine aborts (finish_reason abort) raises`, async (t) => {
    const { baseURL, upstream } = await stage(t)
    upstream.finishWith('abort')
    assert.match(String(codeOf(await failureOf(driver.stream({ ...ask, baseURL })))), /^upstream_/)
  })

  if (models === null) return
  test(`${name}: models are listed`, async (t) => {
    const { baseURL } = await stage(t, { models: ['org/m'] })
    assert.deepEqual(await models({ ...ask, baseURL }), ['default', 'org/m'])
  })
}

/** Proves that a client finds the gate by the names of the official clients' environment. */
export function proveEnvironment(name: string, chat: (ask: Ask) => Promise<string>): void {
  test(`${name}: OPENAI_BASE_URL and OPENAI_API_KEY are all that it needs`, async (t) => {
    const { baseURL } = await stage(t)
    assert.equal(await chat({ baseURL, model: 'default', retries: 0 }), TEXT)
  })
}
