// Goal: the program as people start it: its exit codes, and what it says of a taken port.
// Method: the launcher and the real program as processes of their own, on ports of 127.0.0.1.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { environment, launcher, run, serve, systemNode } from './process.ts'

t.test('a second gate on the port says who holds it, and both ask the first', async (t) => {
  const { child, port, ended } = await serve(t, { GENGATE_VLLM_CPU_URL: 'http://127.0.0.1:1' })
  const env = { GENGATE_PORT: String(port), GENGATE_UPSTREAMS: 'vllm_cpu' }
  const second = run(['serve'], env)
  t.equal(second.status, 1)
  t.match(second.stderr, `port ${port} on 127.0.0.1 is taken by another gengate`)
  const status = run(['status'], env)
  t.equal(status.status, 1, 'nothing is servable')
  t.match(status.stdout, /^vllm_cpu +ejected +refused/m)
  const diag = run(['diag'], env)
  t.equal(diag.status, 1)
  t.match(diag.stdout, 'local_vllm_endpoint_present=true\n')
  t.match(diag.stdout, 'local_vllm: eligible=no reason=refused\n')
  t.match(diag.stdout, '- vllm_cpu: configured=yes enabled=yes eligible=no reason=refused')
  child.kill('SIGTERM')
  t.same(await ended, [0, null])
})

t.test('where a vLLM holds the port, serve prints both ways out', async (t) => {
  const body = JSON.stringify({ version: '0.32.0', data: [{ id: 'tiny', owned_by: 'vllm' }] })
  const vllm = createServer((_request, response) => response.end(body))
  vllm.listen(0, '127.0.0.1')
  await once(vllm, 'listening')
  t.teardown(() => vllm.close())
  const { port } = vllm.address() as AddressInfo
  // Asynchronous: the engine above lives in this process.
  const child = spawn(systemNode, [launcher], { env: environment({ GENGATE_PORT: String(port) }) })
  let text = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  t.same(await once(child, 'close'), [1, null])
  t.match(text, `port ${port} on 127.0.0.1 is taken by a vLLM 0.32.0`)
  t.match(text, 'vllm serve tiny --port 8001')
  t.match(text, `GENGATE_VLLM_CPU_URL=http://127.0.0.1:${port} gengate serve`)
})

t.test(
  'wrong usage and settings end with 2, a failed probe with 1, --version with 0',
  async (t) => {
    const table: [args: string[], env: Record<string, string>, status: number][] = [
      [['--version'], {}, 0],
      [['nonsense'], {}, 2],
      [['serve'], { LOCAL_LLM_BACKEND: 'nobody' }, 2],
      [['serve', '--envfile', 'no-such-file'], {}, 2],
      [['probe', '--url', 'http://127.0.0.1:1', '--json'], {}, 1],
    ]
    for (const [args, env, status] of table) {
      const ended = run(args, env)
      t.equal(ended.status, status, `${args.join(' ')} ${JSON.stringify(env)}\n${ended.stderr}`)
      t.notMatch(ended.stderr, /\n {4}at /, 'no stack trace')
    }
  },
)
