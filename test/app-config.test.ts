import t from 'tap'
import { AppConfig } from '../src/app-config.ts'
import { type Config, type ConfigResult, loadConfig } from '../src/config/load.ts'
import { spec } from './support/world.ts'

const read = (env: Readonly<Record<string, string>>): ConfigResult =>
  loadConfig({ env, file: null, flags: { upstreams: [] }, readFile: () => null })

function config(env: Readonly<Record<string, string>> = {}): Config {
  const result = read(env)
  if (!result.ok) throw new Error('invalid')
  return result.config
}

t.test(
  'each room gets what concerns it, and the key goes with the connections alone',
  async (t) => {
    const env = { GENGATE_UPSTREAMS: 'a=http://127.0.0.1:9001', GENGATE_A_API_KEY: 'k' }
    const app = new AppConfig(config(env), 'me')
    t.match(app.targets(), [{ name: 'a', url: 'http://127.0.0.1:9001', authorization: 'Bearer k' }])
    t.equal(app.keyOf('a'), 'k')
    t.equal(app.keyOf('b'), null)
    t.notMatch(JSON.stringify(app.table()), /"k"/)
    t.strictSame(app.plans(), [])
  },
)

t.test('the embedded engine is the upstream of last resort', async (t) => {
  const app = new AppConfig(config({ GENGATE_UPSTREAMS: 'a=http://127.0.0.1:9001' }), 'me')
  app.embedded = spec({ name: 'embedded', engine: 'embedded', url: 'http://127.0.0.1:1' })
  t.strictSame(
    app.table().specs.map(({ name }) => name),
    ['a', 'embedded'],
  )
  t.match(app.targets().at(-1), { name: 'embedded', authorization: null })
})

t.test('plans are the engines that have a line', async (t) => {
  const env = { GENGATE_UPSTREAMS: 'a=http://127.0.0.1:9001,b=http://127.0.0.1:9002' }
  const app = new AppConfig(config({ ...env, GENGATE_B_RUN: 'serve it' }), 'me')
  t.match(app.plans(), [{ name: 'b', url: 'http://127.0.0.1:9002', intent: 'enabled' }])
})

t.test(
  "the operator's routes need a key only off the loopback, and where there is one",
  async (t) => {
    const keys = { GENGATE_API_KEYS: 'gate-key-of-some-length' }
    for (const [env, needsKey] of [
      [{}, false],
      [keys, false],
      [{ ...keys, GENGATE_HOST: '0.0.0.0' }, true],
      [{ GENGATE_TRUSTED_BIND: '1', GENGATE_HOST: '0.0.0.0' }, false],
    ] as const) {
      t.equal(
        new AppConfig(config(env), 'me').policy.operatorNeedsKey,
        needsKey,
        JSON.stringify(env),
      )
    }
  },
)

t.test('a reading that is invalid changes nothing and is told', async (t) => {
  const app = new AppConfig(config(), 'me')
  const { now, policy } = app
  const bad = app.reload(read({ GENGATE_PORT: 'x' }))
  t.equal(bad.ok, false)
  t.match(bad.notes, [/^GENGATE_PORT /])
  t.equal(app.now, now)
  t.equal(app.policy, policy)
  t.match(app.state, { ok: false, error: /GENGATE_PORT/ })

  const good = app.reload(read({ GENGATE_ALLOWED_HOSTS: 'gate.lan', GENGATE_PORT: '8765' }))
  t.equal(good.ok, true)
  t.match(good.notes, [/ALLOWED_HOSTS changed/, /PORT changed/, /PORT changes at the next start/])
  t.ok(app.policy.hosts.includes('gate.lan'))
  t.match(app.state, { ok: true, error: null })
})
