import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { FakeUpstream } from './fake-upstream.ts'
import { forwarded, gateOverOne } from './gates.ts'
import type { TestGate } from './start-gate.ts'

/** One answer as it came over the wire. */
export interface RawAnswer {
  readonly status: number
  /** Lower-case names; of a repeated one, the last. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Nothing here may take longer than this, ms. */
const LIMIT_MS = 5_000

/** A client that sends bytes, not requests. Latin-1: a character is a byte. */
export class RawClient {
  readonly socket: Socket
  #bytes = Buffer.alloc(0)
  #changed = (): void => {}
  closed = false

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      this.#changed()
    })
    this.socket.on('error', () => {})
    for (const event of ['end', 'close']) {
      this.socket.on(event, () => {
        this.closed = true
        this.#changed()
      })
    }
  }

  send(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    return this
  }

  /** Everything that came and was not taken by `answer`. */
  get rest(): string {
    return this.#bytes.toString('latin1')
  }

  /** The next answer; null: the connection was closed, or nothing whole came in time. */
  async answer(how: { head?: boolean; limitMs?: number } = {}): Promise<RawAnswer | null> {
    const has = await this.#until(
      () => parsed(this.#bytes, how.head === true, this.closed) !== null,
      how.limitMs,
    )
    const found = has ? parsed(this.#bytes, how.head === true, this.closed) : null
    if (found === null) return null
    this.#bytes = this.#bytes.subarray(found.size)
    return found.answer
  }

  /** Does the other side close within the time? */
  isClosed(limitMs?: number): Promise<boolean> {
    return this.#until(() => this.closed, limitMs)
  }

  /** Is the connection good for another request? */
  async isUsable(): Promise<boolean> {
    this.send(get('/livez'))
    return (await this.answer())?.status === 200
  }

  destroy(): void {
    this.socket.destroy()
  }

  async #until(check: () => boolean, limitMs = LIMIT_MS): Promise<boolean> {
    const end = performance.now() + limitMs
    while (!check()) {
      const leftMs = end - performance.now()
      if (leftMs <= 0 || this.closed) return check()
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs)
        this.#changed = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return true
  }
}

/** The first whole answer in `bytes` and its size; null: there is none yet. */
function parsed(
  bytes: Buffer,
  head: boolean,
  closed: boolean,
): { answer: RawAnswer; size: number } | null {
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return null
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1] ?? Number.NaN)
  const at = end + 4
  const whole = (body: string, size: number) => ({ answer: { status, headers, body }, size })
  if (head || status < 200 || status === 204 || status === 304) return whole('', at)
  if (headers['transfer-encoding'] === 'chunked') {
    const chunks = dechunked(bytes, at)
    return chunks === null ? null : whole(chunks.body, chunks.size)
  }
  const length = headers['content-length']
  if (length === undefined) return closed ? whole(bytes.toString('utf8', at), bytes.length) : null
  const size = at + Number(length)
  return bytes.length < size ? null : whole(bytes.toString('utf8', at, size), size)
}

function dechunked(bytes: Buffer, from: number): { body: string; size: number } | null {
  const parts: Buffer[] = []
  let at = from
  for (;;) {
    const line = bytes.indexOf('\r\n', at)
    if (line === -1) return null
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16)
    const next = line + 2 + size + 2
    if (bytes.length < next) return null
    parts.push(bytes.subarray(line + 2, next - 2))
    at = next
    if (size === 0) return { body: Buffer.concat(parts).toString('utf8'), size: at }
  }
}

/** A GET with these header lines. */
export function get(target: string, lines: readonly string[] = []): string {
  return request('GET', target, { lines })
}

/** A request of which every part can be given as it shall be on the wire. */
export function request(
  method: string,
  target: string,
  how: {
    readonly lines?: readonly string[]
    readonly body?: string
    /** The Host line; null: none. */
    readonly host?: string | null
    readonly version?: string
    /** Content-Length is not added. */
    readonly bare?: boolean
  } = {},
): string {
  const { lines = [], body, host = '127.0.0.1', version = '1.1', bare = false } = how
  const length = body === undefined || bare ? [] : [`Content-Length: ${body.length}`]
  const head = [...(host === null ? [] : [`Host: ${host}`]), ...lines, ...length]
  const text = head.map((line) => `${line}\r\n`).join('')
  return `${method} ${target} HTTP/${version}\r\n${text}\r\n${body ?? ''}`
}

export const CHAT = '/v1/chat/completions'
export const JSON_LINE = 'Content-Type: application/json'
/** A good body, as bytes. */
export const GOOD = '{"model":"default","messages":[{"role":"user","content":"hi"}]}'

/** A chat request that is good but for what is given. */
export function chat(
  how: Parameters<typeof request>[2] & { readonly type?: string | null } = {},
): string {
  const { type = JSON_LINE, lines = [], body = GOOD, ...rest } = how
  const typed = type === null ? lines : [type, ...lines]
  return request('POST', CHAT, { ...rest, body, lines: typed })
}

const TYPES = new Set([
  'invalid_request_error',
  'authentication_error',
  'permission_error',
  'rate_limit_error',
  'server_error',
])

/** Asserts that an answer is an error of the gate's own, whole and in a shape that clients read. */
export function isError(
  t: Test,
  answer: RawAnswer | null,
  status: number | readonly number[],
  code: string | readonly string[],
): void {
  const statuses = [status].flat()
  const codes = [code].flat()
  if (answer === null) return void t.fail(`no answer; wanted ${statuses.join('/')}`)
  t.ok(statuses.includes(answer.status), `status ${answer.status} is ${statuses.join('/')}`)
  t.match(answer.headers['x-request-id'], /^.{1,128}$/, 'x-request-id')
  t.match(answer.headers['content-type'], /^application\/json/)
  const body = JSON.parse(answer.body) as Record<string, unknown>
  const error = body['error'] as Record<string, unknown>
  if (body['type'] === 'error') {
    // In Anthropic's shape, with its own types.
    t.strictSame(Object.keys(body), ['type', 'error', 'request_id'])
    t.strictSame(Object.keys(error), ['type', 'message', 'param', 'code'])
    t.match(error['type'], /_error$|^request_too_large$/)
  } else {
    t.strictSame(Object.keys(error), ['message', 'type', 'param', 'code'])
    t.ok(TYPES.has(String(error['type'])), String(error['type']))
  }
  t.ok(codes.includes(String(error['code'])), `code ${String(error['code'])} is ${codes.join('/')}`)
  t.ok(String(error['message']).length <= 1_000, 'message is short')
  t.notOk(answer.headers['access-control-allow-origin'], 'no page may read it')
}

/** A gate in front of one upstream that generates. */
export interface Pair {
  readonly gate: TestGate
  readonly upstream: FakeUpstream
  /** Bodies of clients' requests that reached the upstream; probes do not count. */
  forwarded(): string[]
}

/** Starts both and waits until the gate knows its upstream. */
export async function startPair(t: Test, env: Record<string, string> = {}): Promise<Pair> {
  const { a, gate } = await gateOverOne(t, {}, env)
  return { gate, upstream: a, forwarded: () => forwarded(a).map(({ body }) => body) }
}

/** What must become of bad inputs. `after`: may the connection be used for another request, must it be
 *  closed, or is either fine? `headers`: those of the answer that matter. */
export type Fate = readonly [
  status: number | readonly number[],
  code: string | readonly string[],
  after: 'usable' | 'closed' | 'any',
  headers?: Readonly<Record<string, RegExp>>,
]

/** One input: its name, which begins with its row in the matrix, and its bytes. */
export type Input = readonly [name: string, bytes: string]

/** An input for each of these values. */
export function each(
  name: string,
  values: readonly string[],
  send: (value: string) => string,
): Input[] {
  return values.map((value) => [`${name} ${JSON.stringify(value.slice(0, 60))}`, send(value)])
}

/** Values between blanks and ends of lines. */
export function words(text: string): string[] {
  return text.split(/[ \n]+/).filter((word) => word !== '')
}

/** One subtest per input: our error, whole and in time, no upstream contact, then the connection. */
export function refuses(t: Test, pair: Pair, fate: Fate, inputs: readonly Input[]): void {
  const [status, code, after, headers = {}] = fate
  for (const [name, bytes] of inputs) {
    t.test(name, async (t) => {
      const before = pair.forwarded().length
      const client = new RawClient(pair.gate.port).send(bytes)
      let answer = await client.answer()
      // Node invites the body before anybody has looked at the request.
      if (answer?.status === 100) answer = await client.answer()
      isError(t, answer, status, code)
      for (const [name, pattern] of Object.entries(headers)) {
        t.match(answer?.headers[name], pattern, name)
      }
      const good = after === 'closed' || (await client.isUsable())
      if (after === 'usable') t.ok(good, 'the connection is usable')
      else t.ok((after === 'any' && good) || (await client.isClosed()), 'or it is closed')
      t.equal(pair.forwarded().length, before, 'nothing reached the upstream')
      client.destroy()
    })
  }
}

/** The answer to these bytes, on a connection of their own. */
export async function ask(
  gate: { readonly port: number },
  bytes: string,
  how: Parameters<RawClient['answer']>[0] = {},
): Promise<RawAnswer | null> {
  const client = new RawClient(gate.port).send(bytes)
  const answer = await client.answer(how)
  client.destroy()
  return answer
}

/** The same, where the connection must be good for another request. */
export async function askMore(
  t: Test,
  gate: { readonly port: number },
  bytes: string,
  how: Parameters<RawClient['answer']>[0] = {},
): Promise<RawAnswer | null> {
  const client = new RawClient(gate.port).send(bytes)
  let answer = await client.answer(how)
  if (answer?.status === 100) answer = await client.answer()
  t.ok(await client.isUsable(), 'the connection is usable')
  client.destroy()
  return answer
}

/** Asserts that a good request is served and that the gate has not noted a bug of its own. */
export async function isSound(t: Test, { gate }: Pair): Promise<void> {
  t.equal((await ask(gate, chat()))?.status, 200, 'a good request is served')
  t.strictSame(
    gate.lines.filter((line) => /"event":"(bug|observer_failed)"|internal_error/.test(line)),
    [],
    'no bug was noted',
  )
}

/** What would have ended the process while `work` ran. */
export async function crashesDuring(work: () => Promise<void>): Promise<string[]> {
  const crashes: string[] = []
  const note = (error: unknown): void => void crashes.push(String(error))
  process.on('uncaughtException', note)
  try {
    await work()
    // Errors of sockets arrive in a later turn.
    await new Promise((resolve) => setTimeout(resolve, 50))
  } finally {
    process.off('uncaughtException', note)
  }
  return crashes
}
