import { basename, dirname, join } from 'node:path'
import type { StartSettings } from '../core/owned/process.ts'
import { type Child, type ChildOptions, startChild } from '../process/child.ts'
import { originOf } from '../runtime/address.ts'
import { placeOf } from './address.ts'
import {
  commandOf,
  expand,
  type Machine,
  Refused,
  type Runnable,
  type Started,
  type StartInput,
  type StartLine,
  unlessSet,
  valueOf,
} from './start-line.ts'

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

/** What the operators' older world served when nobody said. */
const DEFAULT_MODEL = 'Qwen/Qwen2.5-3B-Instruct'

/** The installer that the project itself names; it makes `~/.venv-vllm-metal`. */
export const METAL_INSTALL =
  'curl -fsSL https://raw.githubusercontent.com/vllm-project/vllm-metal/main/install.sh | bash'

/** Where vLLM says how to install itself for a CPU. */
const CPU_INSTALL = 'https://docs.vllm.ai/en/latest/getting_started/installation/cpu.html'

/** Names of ours that vLLM would warn about; VLLM_PORT it would take for the first port of its
 *  workers (`vllm/envs.py`, 0.32.0). */
const UNSET = ['VLLM_HOST', 'VLLM_PORT', 'VLLM_VENV', 'VLLM_PYTHON', 'VLLM_MODEL', 'VLLM_DTYPE']

const NAME_FLAG = ['--served-model-name']

type VllmName = 'vllm_cpu' | 'vllm_metal'

/** The start line of a vLLM, for CPU or with the Metal plugin. Flags: `vllm serve --help=all` of
 *  0.32.0. Throws what it refuses. */
function vllmLine(engine: VllmName, input: StartInput): StartLine {
  const { settings, upstream, flags, machine } = input
  refuseWrong(settings)
  const place = placeOf(engine, input, settings)
  const { command, before, venv } =
    engine === 'vllm_metal' ? metalProgram(input) : cpuProgram(settings, machine)
  const own = upstream.model === settings.model ? null : upstream.model
  const model = settings.model ?? own ?? DEFAULT_MODEL
  const args = unlessSet(
    [
      [['--host'], place.host],
      [['--port'], String(place.port)],
      [['--max-model-len'], settings.maxModelLen],
      [['--dtype'], settings.dtype ?? (engine === 'vllm_metal' ? 'float16' : null)],
    ],
    flags,
  )
  const named = valueOf(flags, NAME_FLAG)
  // The gate asks for the name that the upstream's own setting says: vLLM must know it, too.
  const alias = own === null || own === model || named !== null ? [] : [...NAME_FLAG, own, model]
  return {
    engine,
    command,
    args: [...before, 'serve', model, ...args, ...alias, ...flags],
    env: {
      ...(engine === 'vllm_cpu' ? { VLLM_CPU_KVCACHE_SPACE: settings.kvCacheSpace } : {}),
      OMP_NUM_THREADS: settings.ompThreads,
      // Its output goes through a pipe, and would come in blocks of 8 KiB.
      PYTHONUNBUFFERED: '1',
      ...(venv === null ? {} : { VIRTUAL_ENV: venv }),
    },
    unset: UNSET,
    pathFirst: venv === null ? null : join(venv, 'bin'),
    ...place,
    notes: [...place.notes, ...nameNote(engine, named, upstream.model)],
  }
}

interface Program {
  readonly command: string
  /** Arguments before `serve`. */
  readonly before: readonly string[]
  readonly venv: string | null
}

/** As a module: `bin/vllm` names its Python by an absolute path, wrong once the folder moved. */
const AS_MODULE = ['-m', 'vllm.entrypoints.cli.main']

/** Metal needs the environment that the installer made; a system Python is never taken. */
function metalProgram({ settings, machine }: StartInput): Program {
  const venv = venvOf('vllm_metal', settings, machine)
  const command = machine.program(join(venv, 'bin', 'python3'))
  if (command !== null) return { command, before: AS_MODULE, venv }
  throw new Refused(
    `vllm-metal is not installed at ${venv}: bin/python3 is missing there.`,
    `Install it (${METAL_INSTALL}), or set VLLM_VENV to its environment.`,
  )
}

function cpuProgram(settings: StartSettings, machine: Machine): Program {
  const wanted = venvOf('vllm_cpu', settings, machine)
  const venv = machine.program(join(wanted, 'bin', 'python3')) === null ? null : wanted
  if (venv === null && settings.venv !== null) {
    throw new Refused(
      `VLLM_VENV=${wanted} is not a virtual environment: bin/python3 is missing there.`,
      `Create one there and install vLLM into it: ${CPU_INSTALL}`,
    )
  }
  const { python } = settings
  if (python !== null) return byPython(expand(python, machine), venv, machine)
  if (venv !== null) return byPython('python3', venv, machine)
  const vllm = machine.program('vllm')
  if (vllm !== null) return { command: vllm, before: [], venv: null }
  throw new Refused(
    `vLLM is not installed: neither ${wanted} nor a vllm on PATH exists.`,
    `Install it for this CPU (${CPU_INSTALL}), or set VLLM_VENV to its virtual environment.`,
  )
}

/** A path is taken as it is; a name means the one in the environment, else the one on PATH. */
function byPython(python: string, venv: string | null, machine: Machine): Program {
  const isName = !python.includes('/')
  const inVenv = isName && venv !== null ? machine.program(join(venv, 'bin', python)) : null
  const command = inVenv ?? machine.program(python)
  if (command === null) {
    throw new Refused(
      `VLLM_PYTHON=${python} is not a program.`,
      'Unset it, or name a Python that has vLLM.',
    )
  }
  const own = inVenv === null && !isName ? dirname(dirname(command)) : venv
  const isVenv = own !== null && machine.isFile(join(own, 'pyvenv.cfg'))
  return { command, before: AS_MODULE, venv: isVenv ? own : null }
}

function venvOf(engine: VllmName, settings: StartSettings, machine: Machine): string {
  const standard = engine === 'vllm_metal' ? '~/.venv-vllm-metal' : '~/.venv-vllm-cpu'
  return expand(settings.venv ?? standard, machine).replace(/(.)\/+$/, '$1')
}

/** A gate that asks for another name than the engine knows gets a 404 for each request. */
function nameNote(engine: VllmName, named: string | null, asked: string | null): string[] {
  if (named === null || asked === null || named === asked) return []
  const variable = `GENGATE_${engine.toUpperCase()}_MODEL`
  return [
    `${engine} will know its model as "${named}", but the gate asks for "${asked}". Set ${variable}=${named}.`,
  ]
}

/** Throws at the first setting that vLLM would refuse after a minute of imports. */
function refuseWrong({ maxModelLen, kvCacheSpace, ompThreads }: StartSettings): void {
  const length = /^([1-9]\d*|[1-9]\d*(\.\d+)?[kKmMgG]|-1|auto)$/
  const tokens = 'a number of tokens (1024, 8k), or auto'
  const rules: [name: string, value: string, right: RegExp, must: string, standard: string][] = [
    ['VLLM_MAX_MODEL_LEN', maxModelLen, length, tokens, '1024'],
    ['VLLM_CPU_KVCACHE_SPACE', kvCacheSpace, /^\d+$/, 'a whole number of GiB', '1'],
    ['OMP_NUM_THREADS', ompThreads, /^[1-9]\d*(,[1-9]\d*)*$/, 'a number of threads', '4'],
  ]
  for (const [name, value, right, must, standard] of rules) {
    if (right.test(value)) continue
    const hint = `Correct it, or unset it to have ${standard}.`
    throw new Refused(`${name} must be ${must}, not "${value}".`, hint)
  }
}
