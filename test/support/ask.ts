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

export interface StreamEnd {
  /** Data of every event but `[DONE]`. */
  readonly events: string[]
  /** Text of all deltas. */
  readonly text: string
  readonly done: boolean
  /** The error object of an error frame, if one came. */
  readonly error: { readonly code?: string; readonly message?: string } | null
  /** Did the connection break instead of ending? */
  readonly broken: boolean
  readonly comments: string[]
}

/** Reads an event stream to its end, whatever that is. */
export async function readStream(response: Response): Promise<StreamEnd> {
  const out = { events: [] as string[], text: '', done: false, broken: false }
  const comments: string[] = []
  let error: StreamEnd['error'] = null
  let raw = ''
  try {
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) raw += decoder.decode(chunk, { stream: true })
  } catch {
    out.broken = true
  }
  for (const block of raw.split('\n\n')) {
    if (block.startsWith(':')) comments.push(block)
    if (!block.startsWith('data: ')) continue
    const data = block.slice('data: '.length)
    if (data === '[DONE]') {
      out.done = true
      continue
    }
    out.events.push(data)
    const parsed = JSON.parse(data) as {
      error?: { code?: string; message?: string }
      choices?: { delta?: { content?: string | null }; text?: string }[]
    }
    if (parsed.error !== undefined) error = parsed.error
    for (const choice of parsed.choices ?? []) {
      out.text += choice.delta?.content ?? choice.text ?? ''
    }
  }
  return { ...out, error, comments }
}
