import { basename, join } from 'node:path'
import { type Child, type ChildOptions, startChild } from '../process/child.ts'
import { originOf } from '../runtime/address.ts'
import { placeOf } from './address.ts'
import {
  commandOf,
  refused,
  type Runnable,
  type Started,
  type StartInput,
  type StartLine,
  unlessSet,
  valueOf,
} from './start-line.ts'
import { vllmLine } from './vllm-line.ts'

/** How this engine is started, or why it cannot be. Looks at the machine, changes nothing. */
export function startLine(engine: Runnable, input: StartInput): Started {
  switch (engine) {
    case 'vllm_cpu':
    case 'vllm_metal':
      return vllmLine(engine, input)
    case 'ollama':
      return ollamaLine(input)
    case 'llamacpp':
      return llamacppLine(input)
  }
}

/** How long an engine may take to end by itself after a signal, ms. A vLLM that is told to end needs
 *  6.7 s on a machine with two cores (seen with 0.32.0). */
const GRACE_MS = 20_000
/** How long processes that outlive the engine's first one may take, ms. */
const STRAGGLERS_MS = 5_000

/** Starts an engine in the foreground: what it writes goes to `output`, and it ends in its own time. */
export function startEngine(
  line: StartLine,
  {
    env,
    clock,
    output,
  }: Pick<ChildOptions, 'env' | 'clock'> & Required<Pick<ChildOptions, 'output'>>,
): Child {
  const graces = { graceMs: GRACE_MS, stragglersMs: STRAGGLERS_MS }
  return startChild(commandOf(line, env), { env, clock, output, givesWay: true, ...graces })
}

/** The start line of an Ollama, which takes its address by a variable. Pure. */
function ollamaLine(input: StartInput): Started {
  // It has no flags for an address.
  const placed = placeOf(
    'ollama',
    { ...input, flags: [] },
    {
      host: null,
      port: null,
      portName: 'GENGATE_OLLAMA_URL',
    },
  )
  if (!placed.ok) return placed
  const command = input.machine.program('ollama')
  if (command === null) {
    return refused('ollama is not on PATH.', 'Install it: https://ollama.com/download')
  }
  const { host, port, notes } = placed.place
  return {
    ok: true,
    line: {
      engine: 'ollama',
      command,
      args: ['serve', ...input.flags],
      env: { OLLAMA_HOST: originOf({ host, port }).replace('http://', '') },
      unset: [],
      pathFirst: null,
      host,
      port,
      notes: [
        ...notes,
        // Its OpenAI layer has no such field (`openai/openai.go`); seen with 0.33.0-rc2.
        'Ollama ignores max_completion_tokens: clients that want a limit must send max_tokens.',
      ],
    },
  }
}

/** Flags that say where the model comes from: `llama-server --help` of b10434. */
const MODEL_FLAGS = [
  '-m',
  '--model',
  '-mu',
  '--model-url',
  '-hf',
  '-hfr',
  '--hf-repo',
  '-dr',
  '--docker-repo',
  '--models-dir',
  '--models-preset',
]

/** The start line of llama.cpp's server. Pure. */
function llamacppLine(input: StartInput): Started {
  const { flags, machine, upstream } = input
  const placed = placeOf('llamacpp', input, {
    host: null,
    port: null,
    portName: 'GENGATE_LLAMACPP_URL',
  })
  if (!placed.ok) return placed
  const byFlag = valueOf(flags, MODEL_FLAGS) !== null
  const gguf = byFlag || upstream.gguf === null ? null : expand(upstream.gguf, machine.home)
  if (!byFlag && gguf === null) {
    return refused(
      'llamacpp needs a model.',
      'Set GENGATE_LLAMACPP_GGUF=/path/to/model.gguf, or add flags: -- -m /path/to/model.gguf',
    )
  }
  if (gguf !== null && !machine.isFile(gguf)) {
    return refused(
      `GENGATE_LLAMACPP_GGUF=${gguf} is not a file.`,
      'Set it to the path of a model in GGUF format.',
    )
  }
  const command = machine.program('llama-server')
  if (command === null) {
    return refused(
      'llama-server is not on PATH.',
      'Install llama.cpp (https://github.com/ggml-org/llama.cpp), or add the folder of its llama-server to PATH.',
    )
  }
  const { host, port, notes } = placed.place
  const args = unlessSet(
    [
      [['-m'], gguf],
      // Without a name it would tell every client the path.
      [['--alias', '-a'], upstream.model ?? (gguf === null ? null : basename(gguf, '.gguf'))],
      [['--host'], host],
      [['--port'], String(port)],
    ],
    flags,
  )
  return {
    ok: true,
    line: {
      engine: 'llamacpp',
      command,
      args: [...args, ...flags],
      env: {},
      unset: [],
      pathFirst: null,
      host,
      port,
      notes,
    },
  }
}

/** A shell expands `~`, an env file does not. */
function expand(path: string, home: string): string {
  return path.startsWith('~/') ? join(home, path.slice(1)) : path
}
