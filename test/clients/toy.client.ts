import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultCacheDir, ensureToyModel } from '../../src/embedded/toy.ts'
import { startGate } from '../support/start-gate.ts'
import { aiCompatible } from './ai-sdk-compatible.ts'
import { langchain } from './langchain.ts'
import { openaiNode } from './openai-node.ts'
import { openaiPython } from './openai-python.ts'
import { teardownOf } from './stage.ts'

// The same clients over tokens that are really generated: llama.cpp with the toy model, as a gate
// runs it where no other engine is.

test('the embedded engine answers every client', async (t) => {
  const gate = await startGate(teardownOf(t), {
    GENGATE_EMBEDDED: await ensureToyModel({ cacheDir: defaultCacheDir(process.env) }),
    // Nobody listens there.
    GENGATE_UPSTREAMS: 'a=http://127.0.0.1:1',
  })
  await gate.until(() => gate.reason('embedded') === 'ok', 60_000)
  const ask = { baseURL: `${gate.url}/v1`, model: 'default', retries: 0 }
  for (const driver of [openaiNode, openaiPython, langchain, aiCompatible]) {
    await t.test(driver.name, async () => {
      assert.match(await driver.chat(ask), /\w/)
      const { text, tokens = 0 } = await driver.stream(ask)
      assert.match(text, /\w/)
      assert.ok(tokens > 1, `${tokens} tokens`)
    })
  }
})
