import type { Work } from '../core/model/listed-model.ts'

/** Routes that not every engine has, by what they do. The path is the lane's business. */
export const ROUTE_NAMES = [
  'chat',
  'completions',
  'embeddings',
  'responses',
  'messages',
  'count_tokens',
  'rerank',
  'score',
  'classify',
  'pooling',
  'tokenize',
  'detokenize',
  'images',
  'speech',
  'transcriptions',
  'moderations',
  'videos',
  'realtime',
] as const
export type RouteName = (typeof ROUTE_NAMES)[number]

/** What an answer of each route proves; null: nothing of a model's work. */
const WORK_OF: Readonly<Record<RouteName, Work | null>> = {
  chat: 'generation',
  completions: 'generation',
  embeddings: 'embedding',
  responses: 'generation',
  messages: 'generation',
  count_tokens: null,
  rerank: 'rerank',
  score: 'rerank',
  classify: null,
  pooling: null,
  tokenize: null,
  detokenize: null,
  images: null,
  speech: null,
  transcriptions: null,
  moderations: null,
  videos: null,
  realtime: 'generation',
}

/** The kind of work that a route asks for; null: none, or nobody knows. Pure. */
export function workOf(route: RouteName | null): Work | null {
  return route === null ? null : WORK_OF[route]
}
