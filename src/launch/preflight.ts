import { execFile } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import type { Machine, StartIssue } from './start-line.ts'
import { METAL_INSTALL } from './start.ts'

/** This machine, as far as a start line needs it. */
export function thisMachine(env: Readonly<Record<string, string | undefined>>): Machine {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '')
  return {
    home: env['HOME'] ?? '',
    isFile: (path) => attempt(() => statSync(path).isFile()),
    program(nameOrPath) {
      const paths = nameOrPath.includes('/')
        ? [resolve(nameOrPath)]
        : folders.map((folder) => join(folder, nameOrPath))
      return paths.find(isProgram) ?? null
    },
  }
}

function isProgram(path: string): boolean {
  return attempt(() => {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  })
}

function attempt(look: () => boolean): boolean {
  try {
    return look()
  } catch {
    return false
  }
}

/** vLLM imports torch, which takes a slow disk a minute. */
const IMPORT_LIMIT_MS = 180_000

/** Prints `name` and what went wrong for the first package that cannot be imported; else nothing. */
const IMPORT_SCRIPT = `import importlib
for name in ("vllm", "vllm_metal"):
    try:
        importlib.import_module(name)
    except BaseException as error:
        print("\\n" + name + "\\t" + type(error).__name__ + ": " + str(error).split("\\n")[0])
        break
else:
    print("\\nok")
`

/** Are vLLM and its Metal plugin whole in this Python's environment? Null: yes. */
export async function metalIssue(
  python: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<StartIssue | null> {
  const out = await new Promise<string>((done) => {
    const options = { env, timeout: IMPORT_LIMIT_MS, killSignal: 'SIGKILL' } as const
    execFile(python, ['-c', IMPORT_SCRIPT], options, (error, stdout) => {
      done(error === null ? stdout : `${stdout}\n${error.killed === true ? 'timeout' : ''}`)
    })
  })
  const last = out.trimEnd().split('\n').at(-1) ?? ''
  if (last === 'ok') return null
  const [name = '', why] = last.split('\t')
  const what =
    why === undefined
      ? `${python} cannot import vllm and vllm_metal${name === 'timeout' ? ' in time' : ''}.`
      : `${name} cannot be imported by ${python} (${why}).`
  return { what, hint: `Install vllm-metal again: ${METAL_INSTALL}` }
}
