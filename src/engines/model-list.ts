import { isRecord } from './engine-error.ts'

/** More names than this are not kept: no table grows with what an upstream sends. */
const MODELS_MAX = 1_000
/** Longest name kept, characters; the gate refuses longer ones from clients too. */
const NAME_MAX = 256

/**
 * The names in an answer to `GET /v1/models`, in its order; null when it is no list. An empty
 * Ollama says `"data": null`, which is an empty list; mlx-lm may send an empty body, which is none
 * (both seen live: ollama 0.33.0-rc2, mlx-lm 0.32.2). Pure.
 */
export function listedModels(body: unknown): readonly string[] | null {
  if (!isRecord(body) || !('data' in body)) return null
  const { data } = body
  if (data === null) return []
  return Array.isArray(data) ? names(data, 'id') : null
}

/** The texts under `key` of the records in `items`: in order, without repetition, bounded. Pure. */
export function names(items: readonly unknown[], key: string): readonly string[] {
  const found = new Set<string>()
  for (const item of items) {
    const name = isRecord(item) ? item[key] : undefined
    if (typeof name !== 'string' || name === '' || name.length > NAME_MAX) continue
    found.add(name)
    if (found.size === MODELS_MAX) break
  }
  return [...found]
}
