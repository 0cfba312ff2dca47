import type { Engine } from './engine.ts'

/** What the parent tells the child at its start, as one argument in JSON. */
export interface ChildOptions {
  /** Path of a GGUF; null: the toy. */
  readonly modelPath: string | null
  /** Where the toy is kept. */
  readonly cacheDir: string
  /** Port on 127.0.0.1; 0: any. One that is taken is replaced by any. */
  readonly port: number
  /** What to import as llama.cpp. */
  readonly moduleName: string
}

/** What the child tells its parent, once. */
export type ChildMessage =
  | {
      readonly type: 'ready'
      readonly port: number
      readonly model: string
      readonly kind: Engine['kind']
    }
  /** It exits with the code of the failure; this is its cause. */
  | { readonly type: 'failed'; readonly cause: string }

/** A message of the child, or null for anything else that comes over the channel. */
export function readMessage(value: unknown): ChildMessage | null {
  if (typeof value !== 'object' || value === null || !('type' in value)) return null
  if (value.type === 'failed' && 'cause' in value && typeof value.cause === 'string') {
    return { type: 'failed', cause: value.cause }
  }
  if (value.type !== 'ready' || !('port' in value && 'model' in value && 'kind' in value))
    return null
  const { port, model, kind } = value
  if (typeof port !== 'number' || typeof model !== 'string') return null
  return kind === 'toy' || kind === 'gguf' ? { type: 'ready', port, model, kind } : null
}
