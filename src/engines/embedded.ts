import { namesUnknownModel } from '../api/answer.ts'
import { PLAIN, type Quirks } from './quirks.ts'

/** The gate's own child process over node-llama-cpp: one model, OpenAI shapes. */
export const embedded: Quirks = {
  ...PLAIN,
  kind: 'embedded',
  defaultPort: null,
  probes: ['chat'],
  modelOptional: true,
  routes: ['chat', 'completions'],
  isUnknownModel: (status, body) => status === 404 && namesUnknownModel(body),
}
