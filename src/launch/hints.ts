import type { ChildEnd } from '../process/child.ts'
import type { Runnable } from './start-line.ts'
import { METAL_INSTALL } from './start.ts'

/** How an engine ended, and the last lines that it wrote. */
export interface EngineEnding extends Pick<ChildEnd, 'code' | 'lines'> {
  /** Null: any other engine. */
  readonly engine: Runnable | null
  /** Null: it ended with a code. */
  readonly signal: string | null
}

interface Row {
  /** Engines that it is for; absent: all. */
  readonly only?: readonly Runnable[]
  readonly pattern: RegExp
  /** May use what the pattern found, as in `String.replace`. */
  readonly hint: string
}

/** Numbers and the like never go into a pattern: they change with each version. */
const VLLM = ['vllm_cpu', 'vllm_metal'] as const

const SMALLER = 'Set OPENCLAW_VLLM_MODEL=Qwen/Qwen2.5-0.5B-Instruct, or lower VLLM_MAX_MODEL_LEN'

/**
 * What is known to keep an engine from starting; the first row that fits counts, so the closer ones
 * stand first. Words seen live with llama-server b10434 and vLLM 0.32.0 (its source where no machine
 * here could show it), Ollama's and Metal's from the issues of those projects.
 */
const ROWS: readonly Row[] = [
  {
    pattern: /illegal instruction|SIGILL/i,
    hint: 'this CPU lacks instructions that the engine uses. Build the engine on this machine, or use a model with other weights (F16).',
  },
  {
    pattern: /libnuma\S*: cannot open shared object file/,
    hint: 'libnuma is missing. Install it (Debian, Ubuntu: apt-get install libnuma1).',
  },
  {
    pattern: /(?:loading shared libraries|Library not loaded): (?:@rpath\/)?([\w.+-]+)/,
    hint: '$1 is missing. Install it, or add its folder to LD_LIBRARY_PATH.',
  },
  {
    pattern: /address already in use|Errno 98\b|couldn't bind HTTP server socket/i,
    hint: 'another program has taken its port. Start the engine again: gengate names the program.',
  },
  {
    only: VLLM,
    pattern: /unrecognized arguments: (.+)/,
    hint: 'this vLLM does not know $1. List its flags: vllm serve --help=all',
  },
  {
    only: ['llamacpp'],
    pattern: /error: invalid argument: (\S+)/,
    hint: 'this llama-server does not know $1. List its flags: llama-server --help',
  },
  {
    only: ['ollama'],
    pattern: /unknown (?:shorthand )?flag: (.+)/,
    hint: '`ollama serve` takes no flags. Set variables instead: `ollama serve --help` lists them.',
  },
  {
    only: ['llamacpp'],
    pattern: /failed to open GGUF file '([^']+)'/,
    hint: '$1 cannot be read. Give the path of a model in GGUF format.',
  },
  {
    only: ['llamacpp'],
    pattern:
      /invalid magic characters|unknown model architecture|invalid GGUF|tensor '[^']*' data is not within/i,
    hint: 'this llama-server cannot read the file as GGUF. Download the file again, or update llama.cpp.',
  },
  {
    only: ['llamacpp'],
    pattern: /failed to allocate|insufficient memory|out of memory|cannot allocate memory/i,
    hint: 'the model does not fit into memory. Use a smaller context (-- -c 4096), a smaller model, or fewer layers on the GPU (-ngl).',
  },
  {
    only: ['vllm_metal'],
    pattern:
      /kIOGPUCommandBufferCallbackErrorOutOfMemory|insufficient memory|\[metal::malloc\]|out of memory/i,
    hint: `the model does not fit into Metal's memory. ${SMALLER}.`,
  },
  {
    only: VLLM,
    pattern: /larger than the available KV cache memory|No available memory for the cache blocks/,
    hint: 'the context does not fit into the key-value cache. Lower VLLM_MAX_MODEL_LEN, or raise VLLM_CPU_KVCACHE_SPACE.',
  },
  {
    only: VLLM,
    pattern: /is less than (?:desired CPU memory utilization|requested memory for kv)/,
    hint: 'too little memory is free. Lower VLLM_CPU_KVCACHE_SPACE, end other programs, or add -- --gpu-memory-utilization 0.5.',
  },
  {
    only: VLLM,
    pattern:
      /can't allocate memory|OutOfMemoryError|\bMemoryError\b|std::bad_alloc|Cannot allocate memory/,
    hint: `the model does not fit into memory. ${SMALLER}.`,
  },
  {
    only: ['vllm_metal'],
    pattern: /No module named '?([\w.]+)|cannot import name '([\w.]+)'/,
    hint: `$1$2 is missing in the environment. Install vllm-metal again: ${METAL_INSTALL}`,
  },
  {
    only: ['vllm_cpu'],
    pattern: /No module named '?(vllm)\b/,
    hint: 'this Python does not have vLLM. Set VLLM_VENV to an environment that has it.',
  },
  {
    only: ['vllm_cpu'],
    pattern: /No module named '?([\w.]+)|No package metadata was found for ([\w.-]+)/,
    hint: 'the Python package $1$2 is missing. Install it into the environment of vLLM.',
  },
  {
    only: VLLM,
    pattern: /gated repo|401 Client Error|403 Client Error/,
    hint: 'the owner of this model gives access on request. Ask for it at Hugging Face, then set HF_TOKEN.',
  },
  {
    only: VLLM,
    pattern:
      /is not a local folder and is not a valid model identifier|Repository Not Found|Invalid repository ID/,
    hint: 'Hugging Face does not list this model. Check OPENCLAW_VLLM_MODEL or VLLM_MODEL.',
  },
  {
    only: VLLM,
    pattern:
      /couldn't connect to|LocalEntryNotFoundError|offline mode is enabled|Temporary failure in name resolution/i,
    hint: 'the model is not on this disk, and the download failed. Check the network, or name a local folder.',
  },
  {
    only: ['ollama'],
    pattern: /ollama: command not found|could not create .*\.ollama|permission denied/i,
    hint: 'Ollama cannot write to its folder. Check who owns ~/.ollama, or set OLLAMA_MODELS.',
  },
]

const CRASHES: readonly (string | null)[] = ['SIGSEGV', 'SIGABRT', 'SIGBUS']

/** Why an engine ended by itself and what to do about it, on one line; null: not known. Pure. */
export function hintFor({ engine, code, signal, lines }: EngineEnding): string | null {
  const text = [...lines, ...(signal === null ? [] : [signal])].join('\n')
  for (const { only, pattern, hint } of ROWS) {
    if (only !== undefined && (engine === null || !only.includes(engine))) continue
    const found = pattern.exec(text)
    // `$1`, `$2`: what the pattern found there, or nothing.
    if (found !== null)
      return hint.replaceAll(/\$([12])/g, (_, at) => found[Number(at)]?.trim() ?? '')
  }
  if (signal === 'SIGKILL') {
    return 'something killed it. If memory ran out, the kernel did: use a smaller model.'
  }
  if (CRASHES.includes(signal)) return 'it crashed. Report its last lines to its developers.'
  if (code === 127) return 'it calls a program that was not found. Check PATH.'
  return null
}
