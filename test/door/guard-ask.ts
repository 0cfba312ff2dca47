import { type GuardPolicy, guardPolicy } from '../../src/door/access.ts'
import { checkRequest, type GuardResult } from '../../src/door/guards.ts'

export const SETTINGS: Parameters<typeof guardPolicy>[0] = {
  hosts: ['Gate.lan'],
  origins: ['http://App.example:3000/'],
  keys: [],
  operatorNeedsKey: false,
  instanceId: 'me',
}
/** The one web origin that `SETTINGS` allow. */
export const APP = 'http://app.example:3000'
/** Without keys. */
export const OPEN = guardPolicy(SETTINGS)
/** With two keys, operator paths open. */
export const LOCKED = guardPolicy({ ...SETTINGS, keys: ['key-one', 'key-two'] })

export interface Ask {
  readonly method?: string
  readonly url?: string
  readonly version?: string
  readonly policy?: GuardPolicy
  /** Header lines besides Host and JSON content type; a null value leaves that one out. */
  readonly headers?: readonly (readonly [string, string | null])[]
}

/** Asks the guards with a request as node would give it: a good chat request but for `what`. */
export function ask(what: Ask): GuardResult {
  const given = what.headers ?? []
  const method = what.method ?? 'POST'
  const lines: [string, string][] = []
  const names = new Set(given.map(([name]) => name.toLowerCase()))
  if (!names.has('host')) lines.push(['Host', '127.0.0.1:8000'])
  if (method === 'POST' && !names.has('content-type')) {
    lines.push(['Content-Type', 'application/json'])
  }
  for (const [name, value] of given) if (value !== null) lines.push([name, value])
  const headers: Record<string, string> = {}
  for (const [name, value] of lines) headers[name.toLowerCase()] ??= value
  const url = what.url ?? '/v1/chat/completions'
  return checkRequest(
    { method, url, rawHeaders: lines.flat(), headers, httpVersion: what.version ?? '1.1' },
    what.policy ?? OPEN,
  )
}

/** Header lines as they are written. */
export function lines(...texts: string[]): [string, string][] {
  return texts.map((text) => {
    const colon = text.indexOf(': ')
    return [text.slice(0, colon), text.slice(colon + 2)]
  })
}

/** The code of the refusal, or `ok`. */
export function codeOf(what: Ask): string {
  const result = ask(what)
  return result.ok ? 'ok' : result.code
}

/** The same for one header line. */
export function codeWith(name: string, value: string | null): string {
  return codeOf({ headers: [[name, value]] })
}
