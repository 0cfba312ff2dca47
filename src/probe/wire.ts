import { Client } from 'undici'
import { valueOf } from '../api/read.ts'
import type { Clock } from '../runtime/clock.ts'
import { Gather } from '../core/gather.ts'
import { codeOf } from '../errors/transport.ts'
import { codingOf, decoded } from '../runtime/coding.ts'

/** The server at the other end of one probe, and how to reach it. */
export interface Target {
  /** Base URL without `/v1`. */
  readonly url: string
  /** Sent as a bearer; null: no Authorization. */
  readonly apiKey: string | null
  readonly connectTimeoutMs: number
}

/** One request over its own fresh connection. */
export interface WireRequest {
  readonly target: Target
  /** Below the base URL. */
  readonly path: string
  /** JSON for a POST; null: a GET. */
  readonly body: string | null
  readonly signal: AbortSignal
  /** Called when the request goes out on an open connection. */
  readonly onSent?: () => void
}

/** How far an exchange had come: nothing sent, no header back, inside the body. */
export type Phase = 'connect' | 'waiting' | 'body'

/** What came back: an answer to its end, or the place where it broke. */
export type WireAnswer =
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly contentType: string
      readonly body: Uint8Array
    }
  | {
      readonly kind: 'broken'
      /** A code of Node, undici or llhttp; `ABORTED` when our signal ended it. */
      readonly code: string
      readonly phase: Phase
      /** Of the answer that broke; null: none had begun. */
      readonly status: number | null
    }

/** Largest answer to a probe or a list that is read, bytes. */
const ANSWER_BYTES_MAX = 1_048_576
/** Largest header block accepted, bytes: Node's own default, said. */
const HEADER_BYTES_MAX = 16_384
/** Before the next address of a name is tried, ms: `localhost` is often ::1 first. */
const NEXT_ADDRESS_MS = 250
/** A connection serves one request; undici wants a number above zero. */
const NO_KEEP_ALIVE_MS = 1

/** Sends one request and reads its answer. Never rejects; the connection is gone when it resolves. */
export async function exchange(request: WireRequest): Promise<WireAnswer> {
  const closing = new AbortController()
  let client: Client | null = null
  try {
    const base = new URL(request.target.url)
    client = freshClient(base, request.target, closing.signal)
    return await send(client, request, base)
  } catch (error) {
    return broken(nameOf(error), 'connect', null)
  } finally {
    await client?.destroy()
    // A socket that is still connecting is not the client's yet, so it outlives `destroy`.
    closing.abort()
  }
}

function freshClient(base: URL, target: Target, signal: AbortSignal): Client {
  return new Client(base.origin, {
    // A wedged engine is silent for as long as it likes: the probe's own limit decides.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: target.connectTimeoutMs, signal, keepAlive: false },
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    allowH2: false,
    pipelining: 1,
    maxRequestsPerClient: 1,
    keepAliveTimeout: NO_KEEP_ALIVE_MS,
    keepAliveMaxTimeout: NO_KEEP_ALIVE_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
    maxResponseSize: ANSWER_BYTES_MAX,
    strictContentLength: true,
  })
}

function send(client: Client, request: WireRequest, base: URL): Promise<WireAnswer> {
  const { signal } = request
  return new Promise((resolve) => {
    let phase: Phase = 'connect'
    let status: number | null = null
    let contentType = ''
    let coding: ReturnType<typeof codingOf> = null
    const body = new Gather()
    const settle = (answer: WireAnswer): void => {
      signal.removeEventListener('abort', abort)
      resolve(answer)
    }
    const abort = (): void => settle(broken('ABORTED', phase, status))
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort)
    client.dispatch(
      {
        method: request.body === null ? 'GET' : 'POST',
        path: `${base.pathname.replace(/\/+$/, '')}${request.path}`,
        headers: headersOf(request),
        body: request.body,
        // `Connection: close`: the engine need not keep anything for us.
        reset: true,
      },
      {
        onRequestStart() {
          phase = 'waiting'
          request.onSent?.()
        },
        onResponseStart(_controller, statusCode, headers) {
          if (statusCode < 200) return
          phase = 'body'
          status = statusCode
          // One that is sent twice counts once.
          contentType = [headers['content-type'] ?? ''].flat()[0]?.toLowerCase() ?? ''
          coding = codingOf(headers['content-encoding'])
        },
        onResponseData(_controller, chunk) {
          body.push(chunk)
        },
        onResponseEnd() {
          const plain = plainOf(body.take(), coding)
          if (plain === null) settle(broken('ERR_CONTENT_ENCODING', phase, status))
          else settle({ kind: 'answer', status: status ?? 0, contentType, body: plain })
        },
        onResponseError(_controller, error) {
          settle(broken(nameOf(error), phase, status))
        },
      },
    )
  })
}

/** Without the coding that nobody asked for; null: it cannot be taken off. */
function plainOf(body: Uint8Array, coding: ReturnType<typeof codingOf>): Uint8Array | null {
  if (coding === null) return body
  return coding === 'unknown' ? null : decoded(coding, body, ANSWER_BYTES_MAX)
}

/** `Host` is undici's, from the URL. No Origin: Ollama refuses unknown ones. */
function headersOf({ target, body }: WireRequest): Record<string, string> {
  return {
    accept: 'application/json',
    'accept-encoding': 'identity',
    'user-agent': 'gengate-probe',
    ...(body === null ? {} : { 'content-type': 'application/json' }),
    ...(target.apiKey === null ? {} : { authorization: `Bearer ${target.apiKey}` }),
  }
}

/** undici 8.12 leaves the code of its parse errors undefined: it looks llhttp's number up by name. */
function nameOf(error: unknown): string {
  const code = codeOf(error)
  if (code !== '') return code
  return error instanceof Error && error.name === 'HTTPParserError' ? 'HPE_UNKNOWN' : ''
}

function broken(code: string, phase: Phase, status: number | null): WireAnswer {
  return { kind: 'broken', code: code === '' ? 'UNKNOWN' : code, phase, status }
}

/** One GET. */
export interface FetchCall {
  readonly target: Target
  readonly path: string
  readonly limitMs: number
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** How a GET ended. `body` is its JSON, or its text where it is not JSON. */
export type Fetched =
  | { readonly kind: 'answer'; readonly status: number; readonly body: unknown }
  /** Nothing, or not all of it, within the limit. */
  | { readonly kind: 'silent' }
  | { readonly kind: 'broken'; readonly code: string; readonly phase: Phase }

/** A timer this late was held up by our own event loop, ms. */
const LATE_MS = 250
/** After a late timer the answer may already lie in the socket buffer, since Node runs timers
 *  before it polls: so long it is given, ms. */
const GRACE_MS = 250

/** Asks for the model list, for what is in memory, or for counters. Never rejects. */
export async function fetchJson(call: FetchCall): Promise<Fetched> {
  const { target, path } = call
  const answer = await within(call, { target, path, body: null })
  if (answer === null) return { kind: 'silent' }
  if (answer.kind === 'broken') return answer
  const text = new TextDecoder().decode(answer.body)
  return { kind: 'answer', status: answer.status, body: valueOf(text) ?? text }
}

interface Bounds {
  readonly clock: Clock
  readonly limitMs: number
  readonly signal: AbortSignal
}

/** The answer, or null when the limit passed first. */
export async function within(
  { clock, limitMs, signal }: Bounds,
  request: Omit<WireRequest, 'signal'>,
): Promise<WireAnswer | null> {
  const giveUp = new AbortController()
  let timedOut = false
  const expire = (): void => {
    timedOut = true
    giveUp.abort()
  }
  const dueAt = clock.nowMs() + limitMs
  let cancel = clock.after(limitMs, () => {
    if (clock.nowMs() - dueAt > LATE_MS) cancel = clock.after(GRACE_MS, expire)
    else expire()
  })
  const leave = (): void => giveUp.abort()
  signal.addEventListener('abort', leave)
  if (signal.aborted) leave()
  try {
    const answer = await exchange({ ...request, signal: giveUp.signal })
    return timedOut && answer.kind === 'broken' ? null : answer
  } finally {
    cancel()
    signal.removeEventListener('abort', leave)
  }
}
