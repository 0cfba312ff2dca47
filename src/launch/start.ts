import { basename } from 'node:path'
import { type Child, type ChildOptions, startChild } from '../process/child.ts'
import { originOf } from '../runtime/address.ts'
import { placeOf } from './address.ts'
import {
  commandOf,
  expand,
  Refused,
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
  try {
    if (engine === 'ollama') return { ok: true, line: ollamaLine(input) }
    return { ok: true, line: engine === 'llamacpp' ? llamacppLine(input) : vllmLine(engine, input) }
  } catch (error) {
    if (error instanceof Refused) return { ok: false, issue: error.issue }
    throw error
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
  options: Pick<ChildOptions, 'env' | 'clock'> & Required<Pick<ChildOptions, 'output'>>,
): Child {
  const graces = { graceMs: GRACE_MS, stragglersMs: STRAGGLERS_MS }
  return startChild(commandOf(line, options.env), { ...options, givesWay: true, ...graces })
}

/** The start line of an Ollama, which takes its address by a variable and has no flags for it. */
function ollamaLine(input: StartInput): StartLine {
  const place = placeOf('ollama', { ...input, flags: [] })
  const command = input.machine.program('ollama')
  if (command === null) {
    throw new Refused('ollama is not on PATH.', 'Install it: https://ollama.com/download')
  }
  const env = { OLLAMA_HOST: originOf(place).replace('http://', '') }
  // Its OpenAI layer has no such field (`openai/openai.go`); seen with 0.33.0-rc2.
  const limits =
    'Ollama ignores max_completion_tokens: clients that want a limit must send max_tokens.'
  const notes = [...place.notes, limits]
  const args = ['serve', ...input.flags]
  return { engine: 'ollama', command, args, env, unset: [], pathFirst: null, ...place, notes }
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

/** The start line of llama.cpp's server. */
function llamacppLine(input: StartInput): StartLine {
  const { flags, machine, upstream } = input
  const place = placeOf('llamacpp', input)
  const byFlag = valueOf(flags, MODEL_FLAGS) !== null
  const gguf = byFlag || upstream.gguf === null ? null : expand(upstream.gguf, machine)
  if (!byFlag && gguf === null) {
    throw new Refused(
      'llamacpp needs a model.',
      'Set GENGATE_LLAMACPP_GGUF=/path/to/model.gguf, or add flags: -- -m /path/to/model.gguf',
    )
  }
  if (gguf !== null && !machine.isFile(gguf)) {
    throw new Refused(
      `GENGATE_LLAMACPP_GGUF=${gguf} is not a file.`,
      'Set it to the path of a model in GGUF format.',
    )
  }
  const command = machine.program('llama-server')
  if (command === null) {
    throw new Refused(
      'llama-server is not on PATH.',
      'Install llama.cpp (https://github.com/ggml-org/llama.cpp), or add the folder of its llama-server to PATH.',
    )
  }
  const own = unlessSet(
    [
      [['-m'], gguf],
      // Without a name it would tell every client the path.
      [['--alias', '-a'], upstream.model ?? (gguf === null ? null : basename(gguf, '.gguf'))],
      [['--host'], place.host],
      [['--port'], String(place.port)],
    ],
    flags,
  )
  const args = [...own, ...flags]
  return { engine: 'llamacpp', command, args, env: {}, unset: [], pathFirst: null, ...place }
}
