import type { Api } from './api.ts'
import { choiceAnswers } from './choices.ts'

/** Vectors: as JSON, or (vLLM) as bytes. */
export const embeddings = {
  routes: [{ name: 'embeddings', paths: ['/v1/embeddings'], work: 'embedding' }],
  body: 'buffered',
  replay: true,
  answers: {
    ...choiceAnswers({ delta: null, members: { only: [] }, part: 'data' }),
    streamEnd: 'by_name',
    bytes: true,
  },
  probe: { request: () => ({ input: 'OK' }), part: 'data', proves: () => true },
} as const satisfies Api
