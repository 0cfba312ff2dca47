/** A parsed JSON object of which nothing is known yet. */
export type JsonObject = Record<string, unknown>

/** The name of an event, and its data lines joined, as the SSE standard says. The field `error:`
 *  (llama.cpp until September 2025) is data of an event of that name. */
export function fieldsOf(text: string): { readonly name: string; readonly data: string } {
  let name = ''
  let failed = false
  const data: string[] = []
  for (const line of text.split(/\r\n|\r|\n/)) {
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    if (field !== 'data' && field !== 'event' && field !== 'error') continue
    const from = line[colon + 1] === ' ' ? colon + 2 : colon + 1
    const value = colon === -1 ? '' : line.slice(from)
    if (field === 'event') name = value
    else data.push(value)
    failed ||= field === 'error'
  }
  return { name: failed ? 'error' : name, data: data.join('\n') }
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
