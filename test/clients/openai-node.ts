import { load, versionOf } from './installed.ts'
import type { Ask, Driver } from './prove.ts'
import { TOOL } from './stage.ts'

const { OpenAI, APIError } = await load<typeof import('openai')>('openai')
const messages = [{ role: 'user' as const, content: 'hi' }]

function client({ baseURL, retries }: Ask): InstanceType<typeof OpenAI> {
  return new OpenAI({ baseURL, apiKey: 'any', maxRetries: retries })
}

/** Its types want a model; its users may leave it out all the same. */
function named({ model }: Ask): { model: string } {
  return (model === null ? {} : { model }) as { model: string }
}

/** The official client for Node. */
export const openaiNode: Driver = {
  name: `openai ${versionOf('openai')}`,
  async chat(ask) {
    const answer = await client(ask).chat.completions.create({ ...named(ask), messages })
    return answer.choices[0]?.message.content ?? ''
  },
  async stream(ask) {
    const stream = await client(ask).chat.completions.create({
      ...named(ask),
      messages,
      stream: true,
      stream_options: { include_usage: true },
    })
    let text = ''
    let tokens: number | undefined
    for await (const { choices, usage } of stream) {
      text += choices[0]?.delta.content ?? ''
      tokens = usage?.completion_tokens ?? tokens
    }
    return { text, tokens }
  },
  async tools(ask) {
    const tools = [
      { type: 'function' as const, function: { ...TOOL, parameters: { ...TOOL.parameters } } },
    ]
    const stream = client(ask).chat.completions.stream({ ...named(ask), messages, tools })
    const { choices } = await stream.finalChatCompletion()
    const calls = choices[0]?.message.tool_calls ?? []
    return calls.flatMap((call) =>
      call.type === 'function'
        ? [{ id: call.id, name: call.function.name, args: JSON.parse(call.function.arguments) }]
        : [],
    )
  },
  async abort(ask) {
    const stream = await client(ask).chat.completions.create({
      ...named(ask),
      messages,
      stream: true,
    })
    for await (const { choices } of stream) if (choices[0]?.delta.content) break
    stream.controller.abort()
  },
  async models(ask) {
    const ids: string[] = []
    for await (const { id } of client(ask).models.list()) ids.push(id)
    return ids
  },
  codeOf: (error) => (error instanceof APIError ? error.code : undefined),
  waitsAsTold: true,
}

/** A chat by a client that was told nothing: it finds the gate in its environment. */
export async function chatByEnvironment(ask: Ask): Promise<string> {
  Object.assign(process.env, { OPENAI_BASE_URL: ask.baseURL, OPENAI_API_KEY: 'local' })
  const answer = await new OpenAI().chat.completions.create({ ...named(ask), messages })
  return answer.choices[0]?.message.content ?? ''
}
