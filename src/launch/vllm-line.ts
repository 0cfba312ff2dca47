import { dirname, join } from 'node:path'
import type { StartSettings } from '../core/owned/process.ts'
import { placeOf } from './address.ts'
import {
  expand,
  type Machine,
  Refused,
  type StartInput,
  type StartLine,
  unlessSet,
  valueOf,
} from './start-line.ts'

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
export function vllmLine(engine: VllmName, input: StartInput): StartLine {
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
