import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import OpenAI from 'openai'
import type { Test } from 'tap'
import { classifyEvent } from '../../src/api/answer.ts'
import type { EventVerdict } from '../../src/api/api.ts'
import { screenEvent } from '../../src/api/screen.ts'
import { ANSWERS, type ApiName } from '../support/answer-apis.ts'

/** A captured answer. */
export const fixture = (name: string): Buffer =>
  readFileSync(new URL(`../fixtures/wire-events/${name}`, import.meta.url))

/** The events of a stream, cut the plain way. */
export const cut = (text: string): Buffer[] =>
  text.split(/(?<=\n\n)/).map((part) => Buffer.from(part, 'latin1'))
export const eventsOf = (name: string): Buffer[] => cut(fixture(name).toString('latin1'))

/** An event without a name. */
export const event = (data: object): string => `data: ${JSON.stringify(data)}\n\n`

/** What the table of this API makes of an event. */
export const classify = (api: ApiName, text: string | Uint8Array): EventVerdict =>
  classifyEvent(ANSWERS[api], Buffer.from(text))

/** What the screen is sure of; null: of nothing. */
export const screened = (api: ApiName, text: string | Uint8Array): string | null =>
  screenEvent(ANSWERS[api], Buffer.from(text))?.kind ?? null

/** One letter per event: content, neutral, End with content, end without, error, abort, done. */
export function shape(api: ApiName, ...events: readonly (string | Buffer)[]): string {
  return events
    .map((text) => {
      const verdict = classify(api, text)
      if (verdict.kind === 'end') return verdict.content ? 'E' : 'e'
      if (verdict.kind === 'error') return verdict.why === 'abort' ? 'a' : 'x'
      return verdict.kind[0]
    })
    .join('')
}

/** The real client of a server that answers everything with this stream. */
export async function clientOf(t: Test, stream: string | Buffer | null): Promise<OpenAI> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(stream)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close().closeAllConnections())
  const { port } = server.address() as AddressInfo
  return new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'x', maxRetries: 0 })
}
