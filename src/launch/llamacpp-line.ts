import { basename, join } from 'node:path'
import { placeOf } from './address.ts'
import { unlessSet, valueOf } from './flags.ts'
import { refused, type StartInput, type Started } from './start-line.ts'

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
export function llamacppLine(input: StartInput): Started {
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
      'llamacpp has no model.',
      'Set GENGATE_LLAMACPP_GGUF=/path/to/model.gguf, or give flags: -- -m /path/to/model.gguf',
    )
  }
  if (gguf !== null && !machine.isFile(gguf)) {
    return refused(
      `GENGATE_LLAMACPP_GGUF=${gguf} is no file.`,
      'Set it to the path of a model in GGUF format.',
    )
  }
  const command = machine.program('llama-server')
  if (command === null) {
    return refused(
      'there is no llama-server on PATH.',
      'Install llama.cpp (https://github.com/ggml-org/llama.cpp), or put the folder of its llama-server into PATH.',
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
