import { load, versionOf } from './installed.ts'
import type { Ask, Driver } from './prove.ts'
import { TOOL } from './stage.ts'

/** What is used of `@langchain/openai`. */
interface LangChain {
  readonly ChatOpenAI: new (fields: {
    readonly model?: string
    readonly apiKey: string
    readonly maxRetries: number
    readonly configuration: { readonly baseURL: string }
  }) => Chat
}
interface Chat {
  invoke(prompt: string): Promise<Chunk>
  stream(prompt: string, options?: { readonly signal: AbortSignal }): Promise<AsyncIterable<Chunk>>
  bindTools(tools: readonly unknown[]): Chat
}
interface Chunk {
  readonly content: string
  readonly usage_metadata?: { readonly output_tokens: number }
  readonly tool_calls?: readonly { readonly id?: string; name: string; readonly args: unknown }[]
  concat(chunk: Chunk): Chunk
}

const { ChatOpenAI } = await load<LangChain>('@langchain/openai')

function chat({ baseURL, model, retries }: Ask): Chat {
  const fields = { apiKey: 'any', maxRetries: retries, configuration: { baseURL } }
  return new ChatOpenAI(model === null ? fields : { ...fields, model })
}

/** All chunks of a stream, put together as LangChain's manual does. */
async function whole(chunks: AsyncIterable<Chunk>): Promise<Chunk> {
  let sum: Chunk | null = null
  for await (const chunk of chunks) sum = sum === null ? chunk : sum.concat(chunk)
  if (sum === null) throw new Error('an empty stream was taken for complete')
  return sum
}

/** LangChain for Node. */
export const langchain: Driver = {
  name: `@langchain/openai ${versionOf('@langchain/openai')}`,
  chat: async (ask) => (await chat(ask).invoke('hi')).content,
  async stream(ask) {
    const { content, usage_metadata: usage } = await whole(await chat(ask).stream('hi'))
    return { text: content, tokens: usage?.output_tokens }
  },
  async tools(ask) {
    const bound = chat(ask).bindTools([{ type: 'function', function: TOOL }])
    const { tool_calls: calls = [] } = await whole(await bound.stream('hi'))
    return calls.map(({ id, name, args }) => ({ id, name, args }))
  },
  async abort(ask) {
    const gone = new AbortController()
    const chunks = await chat(ask).stream('hi', { signal: gone.signal })
    try {
      for await (const { content } of chunks) if (content !== '') gone.abort()
    } catch (error) {
      // It tells its user of the abort that the user asked for.
      if (!gone.signal.aborted) throw error
    }
  },
  models: null,
  codeOf: (error) => (error as { readonly code?: unknown }).code,
  // It has delays of its own.
  waitsAsTold: false,
}
