import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { Engine } from '../../src/embedded/engine.ts'
import { createEmbeddedServer } from '../../src/embedded/server.ts'
import { systemClock } from '../../src/runtime/clock.ts'

/** One event of a stream, or a unary text completion. */
export interface Event {
  readonly object?: string
  readonly choices?: readonly {
    readonly delta?: { readonly role?: string; readonly content?: string }
    readonly text?: string
    readonly finish_reason: string | null
  }[]
  readonly usage?: Record<string, number>
}

export const messages = [{ role: 'user', content: 'What is the gate?' }]

/** The base URL of a server in front of `engine`, closed with the test. */
export async function serve(t: Test, engine: Engine): Promise<string> {
  const server = createEmbeddedServer({
    engine,
    clock: systemClock,
    log: (line) => t.comment(line),
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export function post(url: string, body: object | string, signal?: AbortSignal): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  })
}

/** A unary chat answer from the server at `base`. */
export async function chatAt(base: string, more: object) {
  const response = await post(`${base}/v1/chat/completions`, { messages, ...more })
  const body = (await response.json()) as {
    choices: { message: { role: string; content: string }; finish_reason: string }[]
    usage: Record<string, number>
    model: string
  }
  const [choice] = body.choices
  if (choice === undefined) throw new Error('no choice')
  return { ...choice.message, finish: choice.finish_reason, usage: body.usage, model: body.model }
}

/** The events of a stream, and whether `[DONE]` was the last line. */
export async function eventsOf(response: Response): Promise<{ events: Event[]; done: boolean }> {
  const lines = (await response.text()).split('\n').filter((line) => line !== '')
  const data = lines.map((line) => line.replace(/^data: /, ''))
  const events = data.filter((line) => line !== '[DONE]').map((line) => JSON.parse(line) as Event)
  return { events, done: data.at(-1) === '[DONE]' }
}
