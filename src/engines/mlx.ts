import { engineError, messageOf } from '../api/answer.ts'
import { PLAIN, type Quirks } from './quirks.ts'

/** How a failed look-up of a model reads: huggingface_hub's and the file system's own words. */
const NO_SUCH_MODEL = /repo id must be|repository not found|entry not found|no such file|not found/i

/**
 * `mlx_lm.server`: Python's `http.server`, HTTP/1.0, no keep-alive, needs a Content-Length. Seen
 * live: mlx-lm 0.32.2.
 */
export const mlx: Quirks = {
  ...PLAIN,
  kind: 'mlx',
  defaultPort: 8080,
  probes: ['chat', 'completions'],
  // Absent and "default_model" both mean the model it was started with.
  modelOptional: true,
  // The list is a scan of the local model cache; the answer may even be 200 with an empty body.
  listsUnloaded: true,
  routes: ['chat', 'completions'],
  // It never says so: a request blocks until the model is loaded.
  isLoading: () => false,
  // Whatever is raised before the first token becomes 404 {"error":"text"}; a missing route is
  // 404 with the text "Not Found", labelled as JSON.
  isUnknownModel: (status, body) => status === 404 && NO_SUCH_MODEL.test(messageOf(body)),
  isFailure: (status, body) =>
    status === 404 && engineError(body) !== null && !NO_SUCH_MODEL.test(messageOf(body)),
}
