import { load, versionOf } from './installed.ts'
import type { Ask, Driver } from './prove.ts'
import { TOOL } from './stage.ts'

/** What is used of `ai`. */
interface Ai {
  readonly generateText: (options: Options) => Promise<{ readonly text: string }>
  readonly streamText: (options: Options & { readonly onError: () => void }) => Streaming
  readonly jsonSchema: (schema: unknown) => unknown
}
interface Options {
  readonly model: unknown
  readonly prompt: string
  readonly maxRetries: number
  readonly abortSignal?: AbortSignal
  readonly tools?: Readonly<Record<string, { description: string; inputSchema: unknown }>>
}
interface Streaming {
  readonly fullStream: AsyncIterable<Part>
  readonly text: PromiseLike<string>
  readonly usage: PromiseLike<{ readonly outputTokens: number | undefined }>
  readonly toolCalls: PromiseLike<
    readonly { readonly toolCallId: string; readonly toolName: string; readonly input: unknown }[]
  >
}
type Part =
  | { readonly type: 'text-delta'; readonly text: string }
  | { readonly type: 'error'; readonly error: unknown }
  | { readonly type: 'abort' | 'finish' }

const { generateText, jsonSchema, streamText } = await load<Ai>('ai')

/** The AI SDK over one of its providers. `model` makes the provider's model. */
export function aiSdk(provider: string, model: (ask: Ask) => unknown): Driver {
  const options = (ask: Ask): Options => ({
    model: model(ask),
    prompt: 'hi',
    maxRetries: ask.retries,
  })
  const begin = (ask: Ask, more: Partial<Options> = {}): Streaming =>
    streamText({ ...options(ask), ...more, onError: () => {} })
  return {
    name: `ai ${versionOf('ai')}, ${provider}`,
    chat: async (ask) => (await generateText(options(ask))).text,
    async stream(ask) {
      const streaming = begin(ask)
      const text = await read(streaming)
      return { text, tokens: (await streaming.usage).outputTokens }
    },
    async tools(ask) {
      const { description, parameters } = TOOL
      const inputSchema = jsonSchema(parameters)
      const streaming = begin(ask, { tools: { [TOOL.name]: { description, inputSchema } } })
      await read(streaming)
      const calls = await streaming.toolCalls
      return calls.map(({ toolCallId: id, toolName: name, input: args }) => ({ id, name, args }))
    },
    async abort(ask) {
      const gone = new AbortController()
      const { fullStream } = begin(ask, { abortSignal: gone.signal })
      for await (const part of fullStream) if (part.type === 'text-delta') gone.abort()
    },
    models: null,
    codeOf,
    waitsAsTold: true,
  }
}

/** Reads a stream as the manual says: errors come as parts. The first one is what the user is
 *  told; when the connection then breaks, the iteration throws as well. */
async function read({ fullStream, text }: Streaming): Promise<string> {
  const errors: unknown[] = []
  let seen = ''
  try {
    for await (const part of fullStream) {
      if (part.type === 'text-delta') seen += part.text
      if (part.type === 'error') errors.push(part.error)
    }
  } catch (error) {
    errors.push(error)
  }
  // Those who only await the text must not get a short one either.
  const awaited = await Promise.resolve(text).then(
    (value) => ({ value }),
    () => null,
  )
  if (errors.length > 0) {
    if (awaited !== null) throw new Error(`text was taken for complete: ${awaited.value}`)
    throw errors[0]
  }
  if (awaited?.value !== seen) throw new Error('the text is not the sum of its deltas')
  return seen
}

/** Its errors keep the body of an answer; after retries the last error is wrapped. */
function codeOf(error: Error): unknown {
  const { code, data, lastError } = error as {
    readonly code?: unknown
    readonly data?: { readonly error?: { readonly code?: unknown } }
    readonly lastError?: Error
  }
  if (lastError !== undefined) return codeOf(lastError)
  return data?.error?.code ?? code
}
