import t from 'tap'
import { codeOf, get, start } from './start-server.ts'
import type { DoorParts } from '../../src/door/door.ts'
import { buildServer } from '../../src/door/server.ts'
import { systemClock } from '../../src/runtime/clock.ts'

const warnings: Error[] = []
process.on('warning', (warning) => void warnings.push(warning))

t.test('no option is one that Node or Fastify warns about', async (t) => {
  await start(t)
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.strictSame(warnings, [])
})

t.test('people who guessed wrong get one helpful line', async (t) => {
  const { port } = await start(t)
  const lost = await get(port, '/chat/completions')
  t.equal(codeOf(lost), '404 not_found')
  t.match(lost.body, '/v1')
  const ollama = await get(port, '/api/tags')
  t.equal(ollama.status, 404)
  t.equal(typeof JSON.parse(ollama.body).error, 'string', "Ollama's shape")
  for (const path of ['/v1', '/readyz/', '/LIVEZ', '//v1/chat', '/gate/', '/v1x']) {
    t.equal((await get(port, path)).status, 404, path)
  }
})

t.test('a client id is kept only when it is sane', async (t) => {
  const { port } = await start(t)
  const idFor = async (id: string) =>
    (await get(port, '/livez', `x-request-id: ${id}\r\n`)).headers['x-request-id']
  t.equal(await idFor('abc-1.2'), 'abc-1.2')
  const insane = ['', 'a b', 'a'.repeat(129), 'é', 'a"b', '<x>', 'twice\r\nx-request-id: b']
  for (const id of insane) t.match(await idFor(id), /^[0-9a-f-]{36}$/, id)
})

t.test('listen() rejects with the error of the system when the port is taken', async (t) => {
  const { port } = await start(t)
  const second = buildServer({ ...({} as DoorParts), clock: systemClock, routes: {} })
  await t.rejects(second.listen({ host: '127.0.0.1', port }), { code: 'EADDRINUSE' })
  await second.close()
})
