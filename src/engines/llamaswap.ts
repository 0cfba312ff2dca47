import { messageOf, namesUnknownModel } from '../api/answer.ts'
import { isObject } from '../api/read.ts'
import { listIn, names } from './model-list.ts'
import { PLAIN, type Quirks } from './quirks.ts'

/**
 * llama-swap: a proxy that starts a server of its own for the model that a request names, and ends
 * the one before. It wants a model (400 "missing or invalid 'model' key"). From its source (`proxy/proxymanager.go` of mostlygeek/llama-swap), not seen live.
 */
export const llamaswap: Quirks = {
  ...PLAIN,
  kind: 'llamaswap',
  ownedBy: 'llama-swap',
  defaultPort: 8080,
  loadedQuery: { path: '/running', read: readyModels },
  listsUnloaded: true,
  routes: [
    'chat',
    'completions',
    'embeddings',
    'responses',
    'messages',
    'rerank',
    'images',
    'speech',
    'transcriptions',
  ],
  // 400 with text, or JSON where the client asks for it: `sendErrorResponse` of the same file.
  isUnknownModel: (status, body) =>
    (status === 400 || status === 404) &&
    (namesUnknownModel(body) ||
      NO_SUCH_MODEL.test(typeof body === 'string' ? body : messageOf(body))),
}

const NO_SUCH_MODEL = /could not find (?:suitable inference handler|real modelid) for/i

/** The models whose server is ready; those that start or stop are not in memory yet, or any more. */
function readyModels(body: unknown): readonly string[] | null {
  const ready = listIn(body, 'running')?.filter((one) => isObject(one) && one['state'] === 'ready')
  return ready === undefined ? null : names(ready, 'model')
}
