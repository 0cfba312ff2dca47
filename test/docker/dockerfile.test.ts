import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { GLOBAL_SETTINGS } from '../../src/config/settings.ts'
import { execForm, lastOf, read, readStages } from './dockerfile.ts'

// Goal: the image fits the rest of the repository. Method: compare what it names; run what can be run
// without an engine, the health check. docker/build-with-buildah runs the rest.

const stages = readStages()
const final = stages.at(-1) ?? []
const all = stages.flat()

t.test('user: the image ends as a number that is not root', async (t) => {
  const [, uid, gid] = /^(\d+):(\d+)$/.exec(lastOf(final, 'USER') ?? '') ?? []
  t.ok(Number(uid) > 0)
  t.ok(Number(gid) > 0)
  const after = final.slice(final.findLastIndex(({ keyword }) => keyword === 'USER') + 1)
  t.strictSame(
    after.filter(({ keyword }) => ['RUN', 'COPY', 'ADD', 'WORKDIR'].includes(keyword)),
    [],
    'files are made before, so that root owns them',
  )
})

t.test('start: signals reach the launcher, and the port is the default one', async (t) => {
  const entry = execForm(lastOf(final, 'ENTRYPOINT')) ?? []
  t.ok(existsSync(new URL(`../..${entry.at(-1)?.replace('/app', '')}`, import.meta.url)))
  t.strictSame(execForm(lastOf(final, 'CMD')), ['serve'])
  t.equal(lastOf(final, 'EXPOSE'), GLOBAL_SETTINGS.GENGATE_PORT.default)
})

t.test('labels: version and licence are those of package.json', async (t) => {
  const manifest = JSON.parse(read('package.json')) as { version: string; license: string }
  t.ok(all.some(({ rest }) => rest === `VERSION=${manifest.version}`))
  const labels = lastOf(final, 'LABEL') ?? ''
  t.match(labels, `org.opencontainers.image.licenses="${manifest.license}"`)
})

t.test('.dockerignore lets in what is copied, and nothing else', async (t) => {
  const [first, ...rest] = read('.dockerignore')
    .replaceAll(/^#.*\n/gm, '')
    .trim()
    .split('\n')
  t.equal(first, '*')
  const copied = all
    .filter(({ keyword, rest }) => keyword === 'COPY' && !rest.startsWith('--from='))
    .flatMap(({ rest }) => rest.split(' ').slice(0, -1))
  t.strictSame(rest.toSorted(), [...new Set(copied)].map((name) => `!${name}`).toSorted())
  for (const name of copied) t.ok(existsSync(new URL(`../../${name}`, import.meta.url)), name)
})

t.test('health check: asks /livez, and ends as the answer says', async (t) => {
  const check = /^(?<options>(?:--\S+ )+)\s*CMD (?<command>.*)$/.exec(
    lastOf(final, 'HEALTHCHECK') ?? '',
  )
  const [program, ...argv] = execForm(check?.groups?.['command']) ?? []
  t.equal(program, 'node')

  const asked: (string | undefined)[] = []
  let status = 200
  const server = createServer((req, res) => {
    asked.push(req.url)
    res.writeHead(status).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = String((server.address() as AddressInfo).port)
  const verdict = async (): Promise<number | null> => {
    const env = { ...process.env, GENGATE_PORT: port }
    const child = spawn(process.execPath, argv, { env, stdio: 'ignore' })
    const [code] = (await once(child, 'exit')) as [number | null]
    return code
  }
  t.equal(await verdict(), 0)
  status = 503
  t.equal(await verdict(), 1)
  server.close()
  await once(server, 'close')
  t.equal(await verdict(), 1, 'nobody listens')
  t.strictSame(asked, ['/livez', '/livez'])
})
