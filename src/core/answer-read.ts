/** Longest message taken over from an upstream, UTF-16 units. */
const MESSAGE_MAX = 300

/** A parsed JSON object of which nothing is known yet. */
export type JsonObject = Record<string, unknown>

/** The name of an event, and its data lines joined, as the SSE standard says. */
export function fieldsOf(text: string): { readonly name: string; readonly data: string } {
  let name = ''
  const data: string[] = []
  for (const line of text.split(/\r\n|\r|\n/)) {
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    if (field !== 'data' && field !== 'event') continue
    const from = line[colon + 1] === ' ' ? colon + 2 : colon + 1
    const value = colon === -1 ? '' : line.slice(from)
    if (field === 'data') data.push(value)
    else name = value
  }
  return { name, data: data.join('\n') }
}

/** The value of a JSON text; undefined: it is none. */
export function valueOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The object in a JSON text; null: there is none. */
export function objectOf(text: string): JsonObject | null {
  const value = valueOf(text)
  return isObject(value) ? value : null
}

/** Is it a JSON object, and no list? */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The objects in a list; none where it is no list. */
export function listOf(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** A truthy `error` is what clients raise on; `object: "error"` is SGLang's flat shape. */
export function isError(body: JsonObject): boolean {
  return Boolean(body['error']) || body['object'] === 'error'
}

/** What the upstream says went wrong, clipped. `data`: the text that could not be read, if so. */
export function messageOf(body: JsonObject | null, data: string): string {
  const error = body === null ? data : (body['error'] ?? body)
  const said = isObject(error) ? (error['message'] ?? error['type'] ?? error['code']) : error
  const text = typeof said === 'string' || typeof said === 'number' ? String(said) : ''
  return text === '' ? 'The upstream reported an error.' : text.slice(0, MESSAGE_MAX)
}
