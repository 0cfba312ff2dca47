import t from 'tap'
import { isHostAllowed } from '../../src/door/guard-host.ts'
import { ask, codeOf, codeWith, OPEN } from '../support/guard-ask.ts'

const SERVED = `localhost LOCALHOST:8000 127.0.0.1 127.0.0.1:1 [::1] [::1]:8000 10.1.2.3 0.0.0.0:8000
  host.docker.internal:8000 host.containers.internal gate.lan GATE.LAN:65535 [fe80::1]:80`

const FOREIGN = `:8000 evil.example localhost.evil 127.0.0.1.nip.io xlocalhost 127.1 0x7f.1 0x7f000001
  2130706433 127.0.0.01 127.0.0.256 [::ffff:127.0.0.1] [::ffff:7f00:1] [::1%25lo] [::1%lo] [::1 ::1
  [] [localhost] localhost. 127.0.0.1. user@localhost user:pw@localhost:80 localhost: localhost:0
  localhost:65536 localhost:80:80 localhost:8x localhost/ localhost,evil gate.lan.evil -gate.lan
  gate..lan __proto__ loc\u0430lhost`

t.test('isHostAllowed B16, B17: names and literals, strictly', async (t) => {
  for (const host of SERVED.split(/\s+/)) t.ok(isHostAllowed(host, OPEN.hosts), host)
  for (const host of [...FOREIGN.split(/\s+/), '', ' localhost', 'localhost\t']) {
    t.notOk(isHostAllowed(host, OPEN.hosts), JSON.stringify(host))
  }
})

t.test('checkRequest B16, B18, B19: the host that the request names', async (t) => {
  t.equal(codeWith('Host', 'evil.example'), 'host_not_allowed')
  t.equal(codeWith('Host', ''), 'host_not_allowed')
  t.match(ask({ url: 'http://localhost:8000/v1/chat/completions?a' }), {
    ok: true,
    path: '/v1/chat/completions',
    query: '?a',
  })
  t.match(ask({ method: 'GET', url: 'HTTP://127.0.0.1:8000' }), { ok: true, path: '/' })
  for (const url of [
    'http://evil.example/v1/chat/completions',
    'http://localhost@evil.example/v1/models',
    'http://localhost.evil/v1/models',
    'http:///v1/models',
  ]) {
    t.equal(codeOf({ url }), 'host_not_allowed', url)
  }
  const both = { url: 'http://localhost/v1/models', headers: [['Host', 'evil.example']] } as const
  t.equal(codeOf(both), 'host_not_allowed', 'neither may be foreign')
  for (const url of ['https://localhost/v1', 'ftp://localhost/', 'localhost:80', 'http:/x', '*']) {
    t.equal(codeOf({ url }), 'bad_path', url)
  }
  t.equal(codeOf({ url: 'http://localhost/v1/../metrics' }), 'bad_path')
})
