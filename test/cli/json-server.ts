import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

/** What to answer: a status and a JSON body. `null`: nothing, ever. */
export type Reply = readonly [status: number, body: unknown] | null

/** An engine that lists one model and generates. */
export const ENGINE = {
  'GET /v1/models': [200, { data: [{ id: 'tiny' }] }],
  'POST /v1/chat/completions': [
    200,
    { choices: [{ finish_reason: 'length' }], usage: { completion_tokens: 1 } },
  ],
} satisfies Record<string, Reply>

/** The status of a gate with these upstreams. */
export function gateStatus(...upstreams: object[]): Record<string, Reply> {
  return { 'GET /gate/status': [200, { version: '1', uptime_s: 1, upstreams }] }
}

/** One request as it arrived. */
export interface Seen {
  readonly method: string
  readonly path: string
  readonly authorization: string | undefined
  readonly body: string
}

/** A server on 127.0.0.1 that answers by `"METHOD /path"`, 404 otherwise; closed with the test. */
export async function jsonServer(
  t: Test,
  routes: Readonly<Record<string, Reply>>,
): Promise<{ url: string; port: number; seen: Seen[] }> {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    const answer = async (): Promise<void> => {
      const body = await bodyOf(request)
      const { method = '', url = '', headers } = request
      seen.push({ method, path: url, authorization: headers.authorization, body })
      const key = `${method} ${url}`
      const reply = key in routes ? routes[key] : ([404, { detail: 'Not Found' }] as const)
      if (reply === null || reply === undefined) return
      response.writeHead(reply[0], { 'content-type': 'application/json' })
      response.end(JSON.stringify(reply[1]))
    }
    void answer()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, seen }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
