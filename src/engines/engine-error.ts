/** What an engine says went wrong, whatever shape it says it in. Absent texts are empty. */
export interface EngineError {
  readonly message: string
  readonly type: string
  readonly code: string
}

/**
 * The error in a parsed body; null when it carries none. Five shapes are in use:
 * `{"error":{…}}` (OpenAI, vLLM, llama.cpp, Ollama), `{"error":"text"}` (mlx-lm, vLLM's 401),
 * `{"object":"error",…}` (SGLang), `{"detail":"text"}` and `{"detail":[…]}` (FastAPI). Pure.
 */
export function engineError(body: unknown): EngineError | null {
  if (!isRecord(body)) return null
  const { error, detail } = body
  if (isRecord(error)) return fromRecord(error)
  if (typeof error === 'string' && error !== '') return { message: error, type: '', code: '' }
  // Anything else that is not null or false is still an error, only without words.
  if (error !== undefined && error !== null && error !== false && error !== '') return NO_WORDS
  if (body['object'] === 'error') return fromRecord(body)
  if (typeof detail === 'string') return { message: detail, type: '', code: '' }
  return Array.isArray(detail) ? NO_WORDS : null
}

/** Does this error say that the model is not there? Pure. */
export function namesUnknownModel(body: unknown): boolean {
  const error = engineError(body)
  if (error === null) return false
  if (error.code === 'model_not_found') return true
  // "File Not Found" and "Not Found" speak of a route: only a text that names a model counts.
  return (
    /\bmodels?\b/i.test(error.message) &&
    /not found|does not exist|no models loaded|unknown model/i.test(error.message)
  )
}

/** Does this error say that the engine is not ready yet? "Overloaded" is not loading. Pure. */
export function namesLoading(body: unknown): boolean {
  const message = engineError(body)?.message ?? ''
  return /\bloading\b|\bnot (yet )?loaded\b|\bstarting\b|\bwarming up\b/i.test(message)
}

/** Is it a JSON object? */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const NO_WORDS: EngineError = { message: '', type: '', code: '' }

function fromRecord(error: Readonly<Record<string, unknown>>): EngineError {
  return { message: text(error['message']), type: text(error['type']), code: text(error['code']) }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
