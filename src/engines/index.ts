import { ROUTE_NAMES, type RouteName } from '../api/index.ts'
import type { EngineKind } from '../core/upstream.ts'
import { embedded } from './embedded.ts'
import { llamacpp } from './llamacpp.ts'
import { llamaswap } from './llamaswap.ts'
import { lmstudio } from './lmstudio.ts'
import { mlx } from './mlx.ts'
import { ollama } from './ollama.ts'
import { openai } from './openai.ts'
import type { Quirks } from './quirks.ts'
import { sglang } from './sglang.ts'
import { vllmMetal } from './vllm-metal.ts'
import { vllm } from './vllm.ts'

/** Every engine that we know, and what it does otherwise than a plain server. */
const ENGINES: readonly Quirks[] = [
  vllm,
  vllmMetal,
  ollama,
  llamacpp,
  mlx,
  sglang,
  lmstudio,
  llamaswap,
  openai,
  embedded,
]
const BY_KIND: ReadonlyMap<EngineKind, Quirks> = new Map(ENGINES.map((one) => [one.kind, one]))

/** The name of every engine kind. */
export const ENGINE_KINDS: readonly EngineKind[] = ENGINES.map(({ kind }) => kind)

/** The quirks of one engine kind. */
export function quirksOf(kind: EngineKind): Quirks {
  const quirks = BY_KIND.get(kind)
  if (quirks === undefined) throw new Error(`No engine is called ${kind}`)
  return quirks
}

/** The engine kind that a name stands for: `ollama`, `ollama_big`, `llamacpp2`; else `openai`. */
export function engineOf(name: string): EngineKind {
  // Longest first, so that `vllm_metal2` is not taken for `vllm`.
  const kinds = ENGINE_KINDS.toSorted((a, b) => b.length - a.length)
  return kinds.find((kind) => new RegExp(`^${kind}(_.*|\\d+)?$`).test(name)) ?? 'openai'
}

/** The port on 127.0.0.1 of an upstream of this name when nobody says; null: a URL is needed. */
export function defaultPortOf(name: string): number | null {
  return quirksOf(engineOf(name)).defaultPort
}

/** The engine that a server is by the owner of its models, if that is not the one that is configured;
 *  null: nothing speaks against it. Pure. */
export function engineByOwner(configured: EngineKind, owner: unknown): EngineKind | null {
  const engine = ENGINES.find(({ ownedBy }) => ownedBy !== undefined && ownedBy === owner)
  return engine === undefined || engine.kind === configured ? null : engine.kind
}

/** The engine kinds that have each of the routes. */
export const ENGINES_WITH: ReadonlyMap<RouteName, ReadonlySet<EngineKind>> = new Map(
  ROUTE_NAMES.map((route) => {
    const able = ENGINES.filter(({ routes }) => routes.includes(route))
    return [route, new Set(able.map(({ kind }) => kind))]
  }),
)
