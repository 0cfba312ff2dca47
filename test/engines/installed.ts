import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'

/** The real engines that the tests can drive. */
export const REAL_ENGINES = ['llamacpp', 'vllm_cpu', 'ollama', 'mlx'] as const
export type RealEngine = (typeof REAL_ENGINES)[number]

type Env = Readonly<Record<string, string | undefined>>

/** Where `test/engines/install` puts everything. */
export function cacheOf(env: Env): string {
  return env['ENGINES_DIR'] || join(env['HOME'] || homedir(), '.cache', 'gengate-engines')
}

/** The program that an engine is; null: it is not here. An `ollama` on the PATH is taken first. */
export function programOf(engine: RealEngine, env: Env): string | null {
  const cache = cacheOf(env)
  const candidates: Readonly<Record<RealEngine, readonly string[]>> = {
    llamacpp: [join(cache, 'llama', 'bin', 'llama-server')],
    vllm_cpu: [join(cache, 'vllm', 'bin', 'vllm')],
    mlx: [join(cache, 'mlx', 'bin', 'mlx_lm.server')],
    ollama: [
      ...(env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'ollama')),
      join(cache, 'ollama', 'bin', 'ollama'),
    ],
  }
  return candidates[engine].find((path) => existsSync(path)) ?? null
}

/** What is said where an engine is missing. */
export function howToGet(engine: RealEngine): string {
  return `${engine} is not installed; run test/engines/install ${engine} (docs/engines.md)`
}

/**
 * Is this engine to be tested? `ENGINES` names some: then yes or no, and one that is missing throws.
 * Without it what is installed is tested.
 */
export function isWanted(engine: RealEngine, env: Env): boolean {
  const named = (env['ENGINES'] ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean)
  const unknown = named.filter((name) => !REAL_ENGINES.some((known) => known === name))
  if (unknown.length > 0) {
    throw new Error(
      `ENGINES: no such engine ${unknown.join(', ')}; known: ${REAL_ENGINES.join(', ')}`,
    )
  }
  const isHere = programOf(engine, env) !== null
  if (!named.includes(engine)) return named.length === 0 && isHere
  if (!isHere) throw new Error(howToGet(engine))
  return true
}

/** The GGUF that `test/engines/install` found to run on this processor. */
export function ggufOf(env: Env): string {
  const folder = join(cacheOf(env), 'llama')
  const name = join(folder, 'model')
  return join(folder, existsSync(name) ? readFileSync(name, 'utf8').trim() : 'gemma.gguf')
}
