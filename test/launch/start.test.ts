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

interface World {
  readonly engine: Runnable
  readonly env?: Record<string, string>
  readonly flags?: readonly string[]
  readonly has?: readonly string[]
}

/** The start line of an engine, with the environment parsed as it really is. */
function start({ engine, env = {}, flags = [], has = EVERYTHING }: World) {
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
function lineOf(world: World) {
  const started = start(world)
  if (!started.ok) throw new Error(`${started.issue.what} ${started.issue.hint}`)
  return started.line
}

const SERVE = ['-m', 'vllm.entrypoints.cli.main', 'serve']
const GGUF = { GENGATE_LLAMACPP_GGUF: '/m/gemma.gguf' }

t.test('each engine starts on its own port with nothing but defaults', async (t) => {
  t.same(lineOf({ engine: 'vllm_cpu' }), {
    engine: 'vllm_cpu',
    command: `${CPU}/bin/python3`,
    args: [
      ...SERVE,
      'Qwen/Qwen2.5-3B-Instruct',
      '--host',
      '127.0.0.1',
      '--port',
      '8001',
      '--max-model-len',
      '1024',
    ],
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
  t.match(lineOf({ engine: 'vllm_metal' }), {
    command: `${METAL}/bin/python3`,
    args: [
      ...SERVE,
      'Qwen/Qwen2.5-3B-Instruct',
      '--host',
      '127.0.0.1',
      '--port',
      '8002',
      '--max-model-len',
      '1024',
      '--dtype',
      'float16',
    ],
    env: { OMP_NUM_THREADS: '4', VLLM_CPU_KVCACHE_SPACE: undefined, VIRTUAL_ENV: METAL },
    port: 8002,
    notes: [],
  })
  t.same(lineOf({ engine: 'ollama' }), {
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
  t.match(lineOf({ engine: 'llamacpp', env: GGUF }), {
    command: '/usr/bin/llama-server',
    args: ['-m', '/m/gemma.gguf', '--alias', 'gemma', '--host', '127.0.0.1', '--port', '8080'],
    env: {},
    port: 8080,
    notes: [],
  })
})

t.test('an engine listens by default where the gate looks when nobody says', async (t) => {
  const { upstreams } = configOf({ GENGATE_UPSTREAMS: RUNNABLE.join(',') })
  for (const { spec } of upstreams) {
    t.equal(defaultPortOf(spec.name), Number(new URL(spec.url).port), spec.name)
    const elsewhere = { [`GENGATE_${spec.name.toUpperCase()}_URL`]: 'http://other:9' }
    const engine = RUNNABLE.find((name) => name === spec.name)
    if (engine === undefined) throw new Error('not asked for')
    const line = lineOf({ engine, env: { ...GGUF, ...elsewhere } })
    t.equal(line.port, defaultPortOf(engine), `${engine} without a URL on this machine`)
  }
})

t.test('every variable of the older world reaches vLLM', async (t) => {
  const rows: [env: Record<string, string>, part: Record<string, unknown>, words: string[]][] = [
    [{ VLLM_MODEL: 'a/b' }, {}, ['serve', 'a/b']],
    [{ VLLM_MODEL: 'a/b', OPENCLAW_VLLM_MODEL: 'c/d' }, {}, ['serve', 'c/d']],
    [{ GENGATE_VLLM_CPU_MODEL: 'e/f' }, {}, ['serve', 'e/f']],
    [
      { GENGATE_VLLM_CPU_MODEL: 'short', OPENCLAW_VLLM_MODEL: 'c/d' },
      {},
      ['--served-model-name', 'short', 'c/d'],
    ],
    [{ VLLM_HOST: '0.0.0.0' }, { host: '0.0.0.0' }, ['--host', '0.0.0.0']],
    [{ VLLM_PORT: '9001' }, { port: 9001 }, ['--port', '9001']],
    [{ GENGATE_VLLM_CPU_URL: 'http://localhost:9002/v1' }, { port: 9002 }, ['--port', '9002']],
    [{ GENGATE_VLLM_CPU_URL: 'http://[::1]:9002' }, { host: '::1' }, ['--host', '::1']],
    [
      { GENGATE_VLLM_CPU_URL: 'http://127.0.0.1:9002', VLLM_PORT: '9003' },
      { port: 9003 },
      ['--port', '9003'],
    ],
    [{ VLLM_MAX_MODEL_LEN: '8k' }, {}, ['--max-model-len', '8k']],
    [{ VLLM_DTYPE: 'bfloat16' }, {}, ['--dtype', 'bfloat16']],
    [{ VLLM_CPU_KVCACHE_SPACE: '3' }, { env: { VLLM_CPU_KVCACHE_SPACE: '3' } }, []],
    [{ OMP_NUM_THREADS: '2' }, { env: { OMP_NUM_THREADS: '2' } }, []],
  ]
  for (const [env, part, words] of rows) {
    const line = lineOf({ engine: 'vllm_cpu', env })
    t.match(line, part, JSON.stringify(env))
    t.ok(
      line.args.join(' ').includes(words.join(' ')),
      `${line.args.join(' ')} has ${words.join(' ')}`,
    )
  }
})

t.test('VLLM_VENV and VLLM_PYTHON choose the program', async (t) => {
  const venv = [`/v/bin/python3`, `/v/pyvenv.cfg`, '/v/bin/python3.12']
  const rows: [World, command: string, pathFirst: string | null, first: string][] = [
    [
      { engine: 'vllm_cpu', env: { VLLM_VENV: '/v/' }, has: venv },
      '/v/bin/python3',
      '/v/bin',
      '-m',
    ],
    [
      { engine: 'vllm_cpu', env: { VLLM_VENV: '~/x' }, has: [`${HOME}/x/bin/python3`] },
      `${HOME}/x/bin/python3`,
      null,
      '-m',
    ],
    [
      { engine: 'vllm_cpu', env: { VLLM_VENV: '/v', VLLM_PYTHON: 'python3.12' }, has: venv },
      '/v/bin/python3.12',
      '/v/bin',
      '-m',
    ],
    [
      { engine: 'vllm_cpu', env: { VLLM_PYTHON: '/v/bin/python3.12' }, has: venv },
      '/v/bin/python3.12',
      '/v/bin',
      '-m',
    ],
    [
      { engine: 'vllm_cpu', env: { VLLM_PYTHON: 'python3' }, has: ['/usr/bin/python3'] },
      '/usr/bin/python3',
      null,
      '-m',
    ],
    [{ engine: 'vllm_cpu', has: ['/usr/bin/vllm'] }, '/usr/bin/vllm', null, 'serve'],
    [
      { engine: 'vllm_metal', env: { VLLM_VENV: '/v' }, has: venv },
      '/v/bin/python3',
      '/v/bin',
      '-m',
    ],
    [
      {
        engine: 'vllm_metal',
        env: { VLLM_VENV: '/v', VLLM_PYTHON: '/usr/bin/python3' },
        has: venv,
      },
      '/v/bin/python3',
      '/v/bin',
      '-m',
    ],
  ]
  for (const [world, command, pathFirst, first] of rows) {
    const line = lineOf(world)
    t.same([line.command, line.pathFirst, line.args[0]], [command, pathFirst, first])
  }
})

t.test('flags of the operator replace ours, in both spellings', async (t) => {
  const line = lineOf({
    engine: 'vllm_cpu',
    flags: ['--max_model_len=4k', '--port', '9000', '--dtype', 'float32'],
  })
  t.same(line.args.slice(4), [
    '--host',
    '127.0.0.1',
    '--max_model_len=4k',
    '--port',
    '9000',
    '--dtype',
    'float32',
  ])
  t.equal(line.port, 9000)
  const llama = lineOf({ engine: 'llamacpp', env: GGUF, flags: ['-hf', 'org/repo', '-a', 'x'] })
  t.same(llama.args, ['--host', '127.0.0.1', '--port', '8080', '-hf', 'org/repo', '-a', 'x'])
  const named = { ...GGUF, GENGATE_LLAMACPP_MODEL: 'tiny' }
  t.match(lineOf({ engine: 'llamacpp', env: named }).args, [
    '-m',
    '/m/gemma.gguf',
    '--alias',
    'tiny',
  ])
  const home = { GENGATE_LLAMACPP_GGUF: '~/own.gguf' }
  t.match(lineOf({ engine: 'llamacpp', env: home }).args, ['-m', `${HOME}/own.gguf`])
})

t.test('a place where the gate does not look, or others do, is told', async (t) => {
  const rows: [World, note: RegExp | null][] = [
    [
      { engine: 'vllm_cpu', env: { VLLM_PORT: '9000' } },
      /Set GENGATE_VLLM_CPU_URL=http:\/\/127\.0\.0\.1:9000 /,
    ],
    [{ engine: 'vllm_cpu', env: { VLLM_PORT: '8001', VLLM_HOST: 'localhost' } }, null],
    [
      { engine: 'vllm_cpu', env: { VLLM_MODEL: 'a/b' }, flags: ['--served-model-name', 'tiny'] },
      /as "tiny", but the gate asks for "a\/b"\. Set GENGATE_VLLM_CPU_MODEL=tiny\.$/,
    ],
    [
      {
        engine: 'vllm_cpu',
        env: { VLLM_MODEL: 'a/b', GENGATE_VLLM_CPU_MODEL: 'tiny' },
        flags: ['--served-model-name', 'tiny'],
      },
      null,
    ],
    [
      { engine: 'vllm_cpu', env: { VLLM_HOST: '::1' } },
      /Set GENGATE_VLLM_CPU_URL=http:\/\/\[::1\]:8001 /,
    ],
    [{ engine: 'vllm_cpu', env: { VLLM_HOST: '0.0.0.0' } }, /^vllm_cpu is open to other machines/],
    [
      { engine: 'ollama', env: { GENGATE_OLLAMA_URL: 'http://gpu-box:11434' } },
      /looks for ollama at http:\/\/gpu-box:11434/,
    ],
    [
      { engine: 'ollama', env: { GENGATE_OLLAMA_URL: 'https://127.0.0.1:9' } },
      /looks for ollama at https/,
    ],
  ]
  for (const [world, note] of rows) {
    const notes = lineOf(world).notes.filter((one) => !one.startsWith('Ollama ignores'))
    if (note === null) t.same(notes, [])
    else
      t.ok(
        notes.some((one) => note.test(one)),
        String(notes),
      )
  }
})

t.test('what cannot start says why, and what to do, in one line each', async (t) => {
  const none: string[] = []
  const metalHint = /vllm-metal\/main\/install\.sh \| bash/
  const rows: [World, what: RegExp, hint: RegExp][] = [
    [
      { engine: 'vllm_cpu', env: { VLLM_PORT: '8000' } },
      /port 8000 is the gate's own/,
      /8001.*GENGATE_PORT=8010/,
    ],
    [{ engine: 'vllm_cpu', flags: ['--port', '8000'] }, /is the gate's own/, /Change --port/],
    [
      { engine: 'vllm_cpu', env: { VLLM_PORT: 'tcp://10.0.0.1:80' } },
      /VLLM_PORT must be a port/,
      /unset it/,
    ],
    [{ engine: 'vllm_cpu', flags: ['--port'] }, /--port must be a port/, /unset it/],
    [
      { engine: 'vllm_cpu', env: { VLLM_MAX_MODEL_LEN: 'long' } },
      /VLLM_MAX_MODEL_LEN must be/,
      /1024/,
    ],
    [
      { engine: 'vllm_cpu', env: { VLLM_CPU_KVCACHE_SPACE: '0.5' } },
      /whole number of GiB/,
      /unset/,
    ],
    [{ engine: 'vllm_metal', env: { OMP_NUM_THREADS: 'all' } }, /OMP_NUM_THREADS must be/, /4/],
    [
      { engine: 'vllm_cpu', has: none },
      /vLLM is not installed: neither \/home\/op\/\.venv-vllm-cpu nor/,
      /VLLM_VENV/,
    ],
    [
      { engine: 'vllm_cpu', env: { VLLM_VENV: '/v' } },
      /VLLM_VENV=\/v is not a virtual environment/,
      /install vLLM/,
    ],
    [
      { engine: 'vllm_cpu', env: { VLLM_PYTHON: 'python9' } },
      /VLLM_PYTHON=python9 is not a program/,
      /Unset/,
    ],
    [
      { engine: 'vllm_metal', has: none },
      /not installed at \/home\/op\/\.venv-vllm-metal/,
      metalHint,
    ],
    [{ engine: 'vllm_metal', env: { VLLM_VENV: '/v' } }, /at \/v:/, metalHint],
    [{ engine: 'ollama', has: none }, /ollama is not on PATH/, /ollama\.com/],
    [
      { engine: 'llamacpp', env: GGUF, has: ['/m/gemma.gguf'] },
      /llama-server is not on PATH/,
      /PATH/,
    ],
    [{ engine: 'llamacpp' }, /llamacpp needs a model/, /GENGATE_LLAMACPP_GGUF=.* -- -m /],
    [
      { engine: 'llamacpp', env: { GENGATE_LLAMACPP_GGUF: '/nope' } },
      /\/nope is not a file/,
      /GGUF/,
    ],
  ]
  for (const [world, what, hint] of rows) {
    const started = start(world)
    const issue = started.ok ? { what: 'it starts', hint: '' } : started.issue
    t.match(issue.what, what)
    t.match(issue.hint, hint)
    t.notMatch(`${issue.what}${issue.hint}`, '\n')
  }
})
