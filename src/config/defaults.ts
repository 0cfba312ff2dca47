import { ENGINE_KINDS, type EngineKind } from '../core/upstream.ts'
import { defaultPortOf, quirksOf } from '../engines/index.ts'

/** Names that need no URL: whoever writes another one and gives none may mean one of these. */
export const KNOWN_NAMES: readonly string[] = [
  'vllm_metal',
  'vllm_cpu',
  ...ENGINE_KINDS.filter((kind) => kind !== 'vllm_metal' && quirksOf(kind).defaultPort !== null),
]

/** Where an upstream listens when nobody says: by its name, else by its engine; null: a URL is
 *  needed. */
export function defaultUrl(name: string, engine: EngineKind): string | null {
  const port = defaultPortOf(name) ?? defaultPortOf(engine)
  return port === null ? null : `http://127.0.0.1:${port}`
}

/** The name for an upstream of which only the URL is known: the engine whose default port it uses,
 *  if that name is free, else a number. */
export function nameFor(url: string, taken: ReadonlySet<string>): string {
  const port = Number(new URL(url).port)
  const byPort = ENGINE_KINDS.find(
    (kind) => quirksOf(kind).defaultPort === port && !taken.has(kind),
  )
  if (byPort !== undefined) return byPort
  let number = 1
  while (taken.has(`upstream_${number}`)) number++
  return `upstream_${number}`
}
