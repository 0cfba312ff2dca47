import t from 'tap'
import { findHolder, identify } from '../../src/cli/port-holder.ts'
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
