import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { fakeOllama } from '../support/fake-engines.ts'
import { startGate } from '../support/start-gate.ts'
import { aiCompatible } from './ai-sdk-compatible.ts'
import { aiOpenAi } from './ai-sdk-openai.ts'
import { langchain } from './langchain.ts'
import { openaiNode } from './openai-node.ts'
import { openaiPython } from './openai-python.ts'
import { failureOf, type Stage, stage, teardownOf, TEXT } from './stage.ts'

// Rows of docs/bad-input.md that are shown here: model-of-the-client.

// Goal: whoever names no model is served, by each client as far as it lets its user leave it out.
// Method: the real clients, and curl as README.md has it, over one model, and over an Ollama with two chat
// models and one for embeddings.

type Chat = (baseURL: string) => Promise<string>
type World = Pick<Stage, 'baseURL' | 'upstream'>

/** Each way to name no model. Python's client and the AI SDK's OpenAI provider do not let it be left out, and
 *  LangChain then has one of its own. */
const WAYS: readonly (readonly [name: string, chat: Chat])[] = [
  ...[openaiNode, openaiPython, aiCompatible, aiOpenAi, langchain].flatMap((driver) =>
    ['default', ''].map((model): [string, Chat] => [
      `${driver.name}: "${model}"`,
      (baseURL) => driver.chat({ baseURL, model, retries: 0 }),
    ]),
  ),
  // Python's sends null then.
  ...[openaiNode, openaiPython, aiCompatible].map((driver): [string, Chat] => [
    `${driver.name}: none`,
    (baseURL) => driver.chat({ baseURL, model: null, retries: 0 }),
  ]),
  ["curl: README.md's own words", readmeCurl],
]

/** What is behind the gate, and what a request without a name means there: of several, none in memory, the
 *  smallest that generates. */
const WORLDS: readonly (readonly [string, (t: TestContext) => Promise<World>, meant: string])[] = [
  ['one model', stage, 'm'],
  ['an Ollama with several', ollama, 'gemma3:270m'],
]

for (const [world, set, meant] of WORLDS) {
  test(`no model is named: ${world}`, async (t) => {
    const { baseURL, upstream } = await set(t)
    for (const [name, chat] of WAYS) {
      const before = upstream.generations.length
      assert.equal(await chat(baseURL), TEXT, name)
      const models = upstream.generations.slice(before).map(({ body }) => modelIn(body))
      assert.ok(models.length > 0, name)
      for (const model of models) assert.equal(model, meant, name)
    }
  })

  test(`a name that nobody lists: ${world}`, async (t) => {
    const { baseURL, upstream } = await set(t)
    const before = upstream.generations.length
    // LangChain's own default is such a name.
    for (const model of ['gpt-4o', null]) {
      const failure = await failureOf(langchain.chat({ baseURL, model, retries: 0 }))
      assert.equal(langchain.codeOf(failure), 'model_not_found')
      assert.match(failure.message, /Known: default, /)
    }
    assert.equal(upstream.generations.length, before)
  })
}

async function ollama(t: TestContext): Promise<World> {
  const ends = teardownOf(t)
  const upstream = await fakeOllama(
    ends,
    [
      { name: 'nomic-embed-text:latest', bytes: 100 },
      { name: 'qwen2.5:0.5b', bytes: 3_000 },
      { name: 'gemma3:270m', bytes: 2_000 },
    ],
    { tokens: 5, gapMs: 10 },
  )
  const gate = await startGate(ends, { GENGATE_UPSTREAMS: `ollama=${upstream.url}` })
  for (let listed = ''; !listed.includes('gemma3:270m');) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    listed = await (await fetch(`${gate.url}/v1/models`)).text()
  }
  return { upstream, baseURL: `${gate.url}/v1` }
}

function modelIn(body: string): unknown {
  return (JSON.parse(body) as { model?: unknown }).model
}

/** What README.md tells people to type, at this gate; the text that it shows. */
async function readmeCurl(baseURL: string): Promise<string> {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const [, told = ''] = /```sh\n(curl [^]*?)```/.exec(readme) ?? []
  assert.match(told, /localhost:8000\/v1\//)
  const line = told.replace('localhost:8000/v1', baseURL)
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', line])
  assert.match(stdout, /data: \[DONE\]/)
  const pieces = stdout.matchAll(/"content":\s*"([^"]*)"/g)
  return [...pieces].map(([, text]) => text).join('')
}
