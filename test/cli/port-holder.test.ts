import t from 'tap'
import {
  enginePortAdvice,
  findHolder,
  type Holder,
  identify,
  listenAdvice,
  parseLsof,
  parseProcNetTcp,
  portAdvice,
} from '../../src/cli/port-holder.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { jsonServer, type Reply } from './json-server.ts'

const list = (owner: string): Reply => [200, { data: [{ id: 'tiny', owned_by: owner }] }]
const status: Reply = [200, { version: '9.9.9', uptime_s: 1, upstreams: [] }]
const locked: Reply = [401, { error: { code: 'invalid_api_key', message: '' } }]

t.test('identify() tells a gate, a vLLM and other servers apart by what they answer', async (t) => {
  const table: [routes: Record<string, Reply>, kind: object][] = [
    [{ 'GET /gate/status': status }, { kind: 'gengate', version: '9.9.9' }],
    [{ 'GET /gate/status': locked }, { kind: 'gengate', version: null }],
    [
      { 'GET /version': [200, { version: '0.32.0' }], 'GET /v1/models': list('vllm') },
      { kind: 'vllm', version: '0.32.0', model: 'tiny' },
    ],
    [
      { 'GET /version': [200, { version: '0.32.0' }], 'GET /v1/models': [401, { error: 'key' }] },
      { kind: 'vllm', version: '0.32.0', model: null },
    ],
    [{ 'GET /v1/models': list('llamacpp') }, { kind: 'openai', owner: 'llamacpp' }],
    [
      { 'GET /version': [200, { version: '1' }], 'GET /v1/models': list('other') },
      { kind: 'openai', owner: 'other' },
    ],
    [{ 'GET /version': [200, { version: '1' }] }, { kind: 'http' }],
    [{}, { kind: 'http' }],
  ]
  for (const [routes, kind] of table) {
    const { url } = await jsonServer(t, routes)
    t.same(await identify(url, systemClock), kind)
  }
})

t.test('identify() gives up on a server that accepts and says nothing', async (t) => {
  const { url } = await jsonServer(t, { 'GET /gate/status': null })
  t.same(await identify(url, systemClock), { kind: 'silent' })
})

t.test('findHolder() names the process behind a port', async (t) => {
  const { port } = await jsonServer(t, {})
  const { process: found } = await findHolder('127.0.0.1', port, systemClock)
  t.equal(found?.pid, process.pid)
  t.type(found?.name, 'string')
})

const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 424242 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F40 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  1000        0 424243 1 0000000000000000 20 4 30 10 -1
`
const TCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:2328 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0000000000000000 100 0 0 10 0
`

t.test('parseProcNetTcp() finds listeners, not connections', async (t) => {
  t.same(parseProcNetTcp(TCP), [{ port: 8000, inode: '424242', uid: 1000 }])
  t.same(parseProcNetTcp(TCP6), [{ port: 9000, inode: '7', uid: 0 }])
  t.same(parseProcNetTcp(''), [])
  t.same(parseProcNetTcp('head\ngarbage\n'), [])
})

t.test('parseLsof() reads the first process of lsof -Fpc', async (t) => {
  t.same(parseLsof('p4242\ncpython3.12\nf7\np4243\ncother\n'), { pid: 4242, name: 'python3.12' })
  t.equal(parseLsof(''), null)
})

const python = { pid: 42, name: 'python3' }
const at = { host: '127.0.0.1', port: 8000 }

/** What is said where this process has the port and serves this. */
function advice(
  serves: Holder['serves'],
  process: Holder['process'] = python,
  port = 8000,
): string {
  return portAdvice({ ...at, port }, { process, serves }).join('\n')
}

t.test('portAdvice() prints both ways out where a vLLM holds the port', async (t) => {
  const text = advice({ kind: 'vllm', version: '0.32.0', model: 'tiny' })
  t.match(text, 'port 8000 on 127.0.0.1 is taken by a vLLM 0.32.0 (python3, pid 42).')
  t.match(text, 'vllm serve tiny --port 8001\n')
  t.match(text, 'GENGATE_PORT=8010 GENGATE_VLLM_CPU_URL=http://127.0.0.1:8000 gengate serve')
  const vllm = { kind: 'vllm', version: null, model: null } as const
  const unnamed = advice(vllm, null)
  t.match(unnamed, 'taken by a vLLM (an unknown process)')
  t.match(unnamed, 'vllm serve MODEL --port 8001')
  t.match(advice(vllm, python, 8001), '--port 8002', 'it never advises the port that is taken')
})

t.test('portAdvice() names every other holder and a way out', async (t) => {
  const table: [text: string, words: string[]][] = [
    [
      advice({ kind: 'gengate', version: '0.1.0' }),
      ['another gengate 0.1.0', 'gengate status', 'GENGATE_PORT=8010'],
    ],
    [
      advice({ kind: 'openai', owner: 'llamacpp' }),
      ['server "llamacpp"', 'GENGATE_PORT=8010 gengate serve --upstream http://127.0.0.1:8000'],
    ],
    [advice({ kind: 'http' }), ['an HTTP server (python3, pid 42)', 'kill 42']],
    [advice({ kind: 'silent' }), ['taken by python3, pid 42', 'kill 42']],
    [
      advice({ kind: 'silent' }, { pid: null, name: 'a process of user 0' }),
      ['taken by a process of user 0.', 'Stop it, or take another port: GENGATE_PORT=8010'],
    ],
  ]
  for (const [text, words] of table) for (const word of words) t.match(text, word)
})

t.test('listenAdvice() says what to set for each way in which binding fails', async (t) => {
  t.match(listenAdvice({ ...at, port: 80 }, 'EACCES'), /port 80 \(EACCES\)\. .*GENGATE_PORT/)
  t.match(listenAdvice(at, 'EADDRNOTAVAIL'), 'GENGATE_HOST')
  t.match(listenAdvice(at, 'EOTHER'), '(EOTHER)')
})

/** Advice for an engine whose port is taken. */
function text(holder: Holder, engine: Parameters<typeof enginePortAdvice>[0]): string {
  return enginePortAdvice(engine, { host: '127.0.0.1', port: 8001, probe: engine }, holder).join(
    '\n',
  )
}

t.test('enginePortAdvice() says who holds the port of an engine, and never stops it', async (t) => {
  const vllm = {
    process: python,
    serves: { kind: 'vllm', version: '0.32.0', model: null },
  } as const
  t.equal(
    text(vllm, 'vllm_cpu'),
    `gengate: port 8001 on 127.0.0.1 is taken by a vLLM 0.32.0 (python3, pid 42).
If that is the engine, it runs already: gengate probe vllm_cpu
Stop it (kill 42), or take another port: VLLM_PORT=8011 gengate run vllm_cpu`,
  )
  const other = text({ process: null, serves: { kind: 'silent' } }, 'ollama')
  t.match(
    other,
    /^Stop it, or .*: GENGATE_OLLAMA_URL=http:\/\/127\.0\.0\.1:8011 gengate run ollama$/m,
  )
  t.notMatch(other, 'runs already')
})
