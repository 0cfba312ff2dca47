import { engineError, namesUnknownModel } from '../api/answer.ts'
import { isObject } from '../api/read.ts'
import { names } from './model-list.ts'
import { PLAIN, type Quirks } from './quirks.ts'

/**
 * llama-swap: a proxy that starts a server of its own for the model that a request names, and ends
 * the one before. From its source (`proxy/proxymanager.go` of mostlygeek/llama-swap), not seen live.
 */
export const llamaswap: Quirks = {
  ...PLAIN,
  kind: 'llamaswap',
  ownedBy: 'llama-swap',
  defaultPort: 8080,
  loadedQuery: { path: '/running', loaded: readyModels },
  // 400 "missing or invalid 'model' key".
  modelOptional: false,
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
    (namesUnknownModel(body) || NO_SUCH_MODEL.test(textOf(body))),
}

const NO_SUCH_MODEL = /could not find (?:suitable inference handler|real modelid) for/i

function textOf(body: unknown): string {
  return typeof body === 'string' ? body : (engineError(body)?.message ?? '')
}

/** The models whose server is ready; those that start or stop are not in memory yet, or any more. */
function readyModels(body: unknown): readonly string[] | null {
  if (!isObject(body) || !Array.isArray(body['running'])) return null
  const running: unknown[] = body['running']
  return names(
    running.filter((one) => isObject(one) && one['state'] === 'ready'),
    'model',
  )
}
