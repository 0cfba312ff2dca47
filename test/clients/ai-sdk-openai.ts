import { aiSdk } from './ai-sdk.ts'
import { load, versionOf } from './installed.ts'
import type { Ask } from './prove.ts'

/** What is used of `@ai-sdk/openai`. */
interface Provider {
  readonly createOpenAI: (settings: {
    readonly baseURL: string
    readonly apiKey: string
  }) => Model & { readonly chat: Model }
}
type Model = (model: string | null) => unknown

const { createOpenAI } = await load<Provider>('@ai-sdk/openai')
export const name: string = `@ai-sdk/openai ${versionOf('@ai-sdk/openai')}`
const provider = ({ baseURL }: Ask) => createOpenAI({ baseURL, apiKey: 'any' })

/** The AI SDK with its provider for OpenAI, which has a chat besides its default. */
export const aiOpenAi = aiSdk(`${name} .chat()`, (ask) => provider(ask).chat(ask.model))
/** Without `.chat` it asks for /v1/responses. */
export const aiResponses = aiSdk(name, (ask) => provider(ask)(ask.model))
