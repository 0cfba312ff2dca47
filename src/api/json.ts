import type { Api, EventVerdict } from './api.ts'
import { OPENAI_ERRORS } from './frame.ts'

const NEUTRAL: EventVerdict = { kind: 'neutral' }
/** Content that may well be the last: nobody says how a stream of these APIs ends, so its framing
 *  decides. A clean end of the body is proper after any data, a cut one never is. */
const ANY_DATA: EventVerdict = { kind: 'end', content: true, finished: [0], open: [] }

/** Rerank, score, tokenize and their like, which have no common shape and no streams. The paths are
 *  those of vLLM, llama.cpp and SGLang. */
export const json = {
  routes: [
    { name: 'count_tokens', paths: ['/v1/messages/count_tokens'], work: null },
    { name: 'rerank', paths: ['/v1/rerank', '/v2/rerank', '/rerank'], work: 'rerank' },
    { name: 'score', paths: ['/v1/score', '/score'], work: 'rerank' },
    { name: 'classify', paths: ['/classify'], work: null },
    { name: 'pooling', paths: ['/pooling'], work: null },
    { name: 'tokenize', paths: ['/tokenize'], work: null },
    { name: 'detokenize', paths: ['/detokenize'], work: null },
  ],
  body: 'buffered',
  replay: true,
  answers: {
    ofEvent: ({ data }) => (data === '' ? NEUTRAL : ANY_DATA),
    ofWhole: () => null,
    // Rerankers of some engines answer so.
    listed: true,
    screen: null,
    depthMax: 4,
    streamEnd: 'by_name',
    errors: OPENAI_ERRORS,
    bytes: true,
  },
} as const satisfies Api
