import t from 'tap'
import { enginePortAdvice, listenAdvice, portAdvice } from '../../src/cli/port-advice.ts'
import type { Holder } from '../../src/cli/port-holder.ts'

const process = { pid: 42, name: 'python3' }
const at = { host: '127.0.0.1', port: 8000 }

function advice(holder: Holder, port = 8000): string {
  return portAdvice({ ...at, port }, holder).join('\n')
}

t.test('portAdvice() prints both ways out where a vLLM holds the port', async (t) => {
  const text = advice({ process, serves: { kind: 'vllm', version: '0.32.0', model: 'tiny' } })
  t.match(text, 'port 8000 on 127.0.0.1 is taken by a vLLM 0.32.0 (python3, pid 42).')
  t.match(text, 'vllm serve tiny --port 8001\n')
  t.match(text, 'GENGATE_PORT=8010 GENGATE_VLLM_CPU_URL=http://127.0.0.1:8000 gengate serve')
  const unnamed = advice({ process: null, serves: { kind: 'vllm', version: null, model: null } })
  t.match(unnamed, 'taken by a vLLM (an unknown process)')
  t.match(unnamed, 'vllm serve MODEL --port 8001')
  const on8001 = advice({ process, serves: { kind: 'vllm', version: null, model: null } }, 8001)
  t.match(on8001, '--port 8002', 'it never advises the port that is taken')
})

t.test('portAdvice() names every other holder and a way out', async (t) => {
  const table: [holder: Holder, words: string[]][] = [
    [
      { process, serves: { kind: 'gengate', version: '0.1.0' } },
      ['another gengate 0.1.0', 'gengate status', 'GENGATE_PORT=8010'],
    ],
    [
      { process, serves: { kind: 'openai', owner: 'llamacpp' } },
      ['server "llamacpp"', 'GENGATE_PORT=8010 gengate serve --upstream http://127.0.0.1:8000'],
    ],
    [{ process, serves: { kind: 'http' } }, ['an HTTP server (python3, pid 42)', 'kill 42']],
    [{ process, serves: { kind: 'silent' } }, ['taken by python3, pid 42', 'kill 42']],
    [
      { process: { pid: null, name: 'a process of user 0' }, serves: { kind: 'silent' } },
      ['taken by a process of user 0.', 'Stop it, or take another port: GENGATE_PORT=8010'],
    ],
  ]
  for (const [holder, words] of table) for (const word of words) t.match(advice(holder), word)
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
  const vllm = { process, serves: { kind: 'vllm', version: '0.32.0', model: null } } as const
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
