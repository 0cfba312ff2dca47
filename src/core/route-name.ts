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
  'realtime',
] as const
export type RouteName = (typeof ROUTE_NAMES)[number]
