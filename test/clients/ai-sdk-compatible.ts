import { aiSdk } from './ai-sdk.ts'
import { load, versionOf } from './installed.ts'

/** What is used of `@ai-sdk/openai-compatible`. */
interface Compatible {
  readonly createOpenAICompatible: (settings: {
    readonly name: string
    readonly baseURL: string
    readonly includeUsage: boolean
  }) => (model?: string) => unknown
}

const { createOpenAICompatible } = await load<Compatible>('@ai-sdk/openai-compatible')
const name = '@ai-sdk/openai-compatible'

/** The AI SDK with the provider that is made for servers like this one. */
export const aiCompatible = aiSdk(`${name} ${versionOf(name)}`, ({ baseURL, model }) =>
  createOpenAICompatible({ name: 'gengate', baseURL, includeUsage: true })(model ?? undefined),
)
