import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { GLOBAL_SETTINGS } from '../../src/config/settings.ts'
import { execForm, lastOf, read, readStages } from './dockerfile.ts'

// Goal: the image keeps what docker/README.md says of it. Method: read the instructions; run the one
// that can be run without an engine, the health check. docker/build-with-buildah runs the rest.

const [args = [], ...stages] = readStages()
const final = stages.at(-1) ?? []
const all = stages.flat()

t.test('stages: one builds, another runs and takes only what was built', async (t) => {
  t.equal(stages.length, 2)
  t.match(stages[0]?.[0]?.rest, / AS build$/)
  t.match(lastOf(stages[0] ?? [], 'RUN'), 'npm prune')
  t.notOk(final[0]?.rest.includes(' AS '), 'the last stage is the image')
  const copied = final.filter(({ keyword }) => keyword === 'COPY').map(({ rest }) => rest)
  t.ok(copied.some((rest) => rest.startsWith('--from=build /app/dist')))
  t.ok(copied.some((rest) => rest.startsWith('--from=build /app/node_modules')))
  t.notOk(copied.some((rest) => /\bsrc\b/.test(rest)))
})

t.test('base: one image for both stages, fully named, with a Node that is supported', async (t) => {
  // Buildah and podman know no default registry; docker/build-with-buildah reads this line.
  t.match(lastOf(args, 'ARG'), /^NODE_IMAGE=docker\.io\/library\/node:(?:24|2[6-9]|[3-9]\d)-slim$/)
  for (const stage of stages) t.match(stage[0]?.rest, /^\$\{NODE_IMAGE\}( AS \w+)?$/)
})

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

t.test('start: entry point and command are exec forms of the launcher', async (t) => {
  const entry = execForm(lastOf(final, 'ENTRYPOINT'))
  t.strictSame(entry, ['node', '--', '/app/bin/gengate.cjs'])
  t.ok(existsSync(new URL('../../bin/gengate.cjs', import.meta.url)))
  t.strictSame(execForm(lastOf(final, 'CMD')), ['serve'])
  t.equal(lastOf(final, 'STOPSIGNAL'), 'SIGTERM')
  t.equal(lastOf(final, 'EXPOSE'), GLOBAL_SETTINGS.GENGATE_PORT.default)
})

t.test('settings: the image itself opens nothing and names only a place to write', async (t) => {
  const set = all.filter(({ keyword }) => keyword === 'ENV').map(({ rest }) => rest)
  t.strictSame(set, ['NODE_ENV=production HOME=/tmp XDG_CACHE_HOME=/tmp'])
})

t.test('labels: version and licence are those of package.json', async (t) => {
  const manifest = JSON.parse(read('package.json')) as { version: string; license: string }
  t.ok(all.some(({ rest }) => rest === `VERSION=${manifest.version}`))
  const labels = lastOf(final, 'LABEL') ?? ''
  t.match(labels, `org.opencontainers.image.licenses="${manifest.license}"`)
  t.match(labels, 'org.opencontainers.image.version="${VERSION}"')
  t.match(labels, 'org.opencontainers.image.title="gengate"')
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
  t.match(check?.groups?.['options'], /--timeout=\d+s /)
  t.match(argv.join(' '), "'/livez'")

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
