import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import type { Env } from '../../src/config/sources.ts'

const FILES: Readonly<Record<string, string>> = {
  '/keys': 'b\nc\na\n',
  '/empty': '\n',
  '/bad': 's3 cret',
}

function load(env: Env) {
  return loadConfig({
    env,
    file: null,
    flags: { upstreams: [] },
    readFile: (path) => FILES[path] ?? null,
  })
}

t.test('readApiKeys() joins the keys of both settings', async (t) => {
  const both = load({ GENGATE_API_KEYS: 'a,b', GENGATE_API_KEYS_FILE: '/keys' })
  t.match(both, { ok: true, config: { apiKeys: ['a', 'b', 'c'] } })
  t.match(load({}), { ok: true, config: { apiKeys: [] } })
})

t.test('readApiKeys() refuses files without a usable key', async (t) => {
  const cases: [string, RegExp][] = [
    ['/gone', /cannot be read/],
    ['/empty', /no key/],
    ['/bad', /space/],
  ]
  for (const [path, message] of cases) {
    const loaded = load({ GENGATE_API_KEYS_FILE: path, GENGATE_HOST: '0.0.0.0' })
    t.match(loaded, { ok: false, issues: [{ name: 'GENGATE_API_KEYS_FILE', message }] }, path)
    t.equal(loaded.ok ? 0 : loaded.issues.length, 1, 'the open bind is no second issue')
    t.notMatch(JSON.stringify(loaded), /s3 cret/)
  }
})

t.test('refuseOpenBind() wants a key or a promise beyond loopback', async (t) => {
  for (const host of ['0.0.0.0', '::', '192.168.1.5', 'box.lan']) {
    const loaded = load({ GENGATE_HOST: host })
    t.match(loaded, { ok: false, issues: [{ name: 'GENGATE_HOST' }] }, host)
    t.match(loaded.ok ? '' : loaded.issues[0]?.message, /GENGATE_API_KEYS.*GENGATE_TRUSTED_BIND=1/)
    t.equal(load({ GENGATE_HOST: host, GENGATE_API_KEYS: 'k' }).ok, true)
    t.equal(load({ GENGATE_HOST: host, GENGATE_API_KEYS_FILE: '/keys' }).ok, true)
    t.equal(load({ GENGATE_HOST: host, GENGATE_TRUSTED_BIND: '1' }).ok, true)
    t.equal(load({ GENGATE_HOST: host, GENGATE_TRUSTED_BIND: '0' }).ok, false)
  }
  for (const host of ['127.0.0.1', 'localhost', '::1'])
    t.equal(load({ GENGATE_HOST: host }).ok, true)
})
