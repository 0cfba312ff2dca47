import type { Api } from './api.ts'

/** A socket whose frames go through as they are: OpenAI's Realtime API, where vLLM has it. */
export const realtime = {
  routes: [{ name: 'realtime', paths: ['/v1/realtime'], work: 'generation' }],
  body: 'upgraded',
  replay: false,
} as const satisfies Api
