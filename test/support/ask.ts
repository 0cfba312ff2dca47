/** A chat request as tests send it. */
export function chatBody(over: Record<string, unknown> = {}): string {
  return JSON.stringify({ model: 'default', messages: [{ role: 'user', content: 'hi' }], ...over })
}

/** POSTs JSON and gives the raw answer. */
export function post(url: string, body: string, init: RequestInit = {}): Promise<Response> {
  const headers = { 'content-type': 'application/json', ...init.headers }
  return fetch(url, { method: 'POST', ...init, headers, body })
}

/** Asks a gate for a chat. */
export function chat(
  gate: { readonly url: string },
  over: Record<string, unknown> = {},
  init: RequestInit = {},
): Promise<Response> {
  return post(`${gate.url}/v1/chat/completions`, chatBody(over), init)
}

/** How an event stream ended for its client. */
export interface StreamEnd {
  /** Data of every event but `[DONE]`. */
  readonly events: readonly string[]
  /** Names of the events that have one, in order. */
  readonly names: readonly string[]
  /** The last event, read. */
  readonly last: Record<string, unknown>
  /** Text of all deltas, of whatever API. */
  readonly text: string
  readonly done: boolean
  /** The error object of the last event, if it has one. */
  readonly error: { readonly code?: string; readonly message?: string } | null
  /** Did the connection break instead of ending? */
  readonly broken: boolean
  readonly comments: readonly string[]
  readonly raw: string
}

/** What an event says, as far as a reader of text cares. */
interface Said {
  readonly error?: { readonly code?: string; readonly message?: string }
  readonly choices?: readonly { delta?: { content?: string | null }; text?: string }[]
  readonly delta?: string | { readonly text?: string }
}

/** Reads an event stream to its end, whatever that is. */
export async function readStream(response: Response): Promise<StreamEnd> {
  let raw = ''
  let broken = false
  try {
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) raw += decoder.decode(chunk, { stream: true })
  } catch {
    broken = true
  }
  const blocks = raw.split('\n\n')
  const data = blocks.flatMap((block) => /^data: (.*)$/m.exec(block)?.[1] ?? [])
  const events = data.filter((one) => one !== '[DONE]')
  const said = events.map((one) => JSON.parse(one) as Said)
  return {
    events,
    names: blocks.flatMap((block) => /^event: (.*)$/m.exec(block)?.[1] ?? []),
    last: (said.at(-1) ?? {}) as Record<string, unknown>,
    text: said.map(textOf).join(''),
    done: data.includes('[DONE]'),
    error: said.findLast((one) => one.error != null)?.error ?? null,
    broken,
    comments: blocks.filter((block) => block.startsWith(':')),
    raw,
  }
}

function textOf({ choices = [], delta }: Said): string {
  if (typeof delta === 'string') return delta
  const texts = choices.map((choice) => choice.delta?.content ?? choice.text ?? '')
  return (delta?.text ?? '') + texts.join('')
}

/** Which upstream answered. */
export function servedBy(answer: Response): string | null {
  return answer.headers.get('x-gengate-upstream')
}
