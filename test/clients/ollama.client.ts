import assert from 'node:assert/strict'
import { test } from 'node:test'
import { load, versionOf } from './installed.ts'
import { failureOf, stage } from './stage.ts'

// The client of Ollama's own API. The gate does not speak it; the user must be told so in words,
// and not by `[object Object]`.

/** What is used of `ollama`. */
interface Module {
  readonly Ollama: new (settings: { readonly host: string }) => {
    chat(request: object): Promise<unknown>
    list(): Promise<unknown>
    show(request: object): Promise<unknown>
    embed(request: object): Promise<unknown>
  }
}

const { Ollama } = await load<Module>('ollama')

test(`ollama ${versionOf('ollama')}: every call is told where to go`, async (t) => {
  const { gate, upstream } = await stage(t)
  const client = new Ollama({ host: gate.url })
  const before = upstream.seen.length
  const model = 'm'
  const messages = [{ role: 'user', content: 'hi' }]
  for (const call of [
    () => client.chat({ model, messages }),
    () => client.chat({ model, messages, stream: true }),
    () => client.list(),
    () => client.show({ model }),
    () => client.embed({ model, input: 'hi' }),
  ]) {
    const failure = await failureOf(call())
    assert.equal((failure as { status_code?: unknown }).status_code, 404)
    assert.match(
      failure.message,
      /speaks the OpenAI API under \/v1.*Use a base URL that ends in \/v1/,
    )
    assert.doesNotMatch(failure.message, /\[object/)
  }
  assert.equal(upstream.seen.length, before, 'nothing reached the engine')
})
