import t from 'tap'
import {
  bare,
  isAny,
  isLoopback,
  leadsTo,
  originOf,
  portOf,
  reachable,
  reaches,
} from '../../src/runtime/address.ts'

// Goal: one room for what an address means on this machine. A gate, its command line, and the engines
// that it starts ask the same functions.

t.test('isLoopback() counts only what cannot be reached from outside', async (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.8.9.10', '::1', '[::1]', '::ffff:127.0.0.1']) {
    t.equal(isLoopback(host), true, host)
  }
  for (const host of ['0.0.0.0', '::', '192.168.1.5', 'box', 'x.localhost', '127.1', '128.0.0.1']) {
    t.equal(isLoopback(host), false, host)
  }
})

t.test('leadsTo() sees the own listener through every name of this machine', async (t) => {
  const loopback = { host: '127.0.0.1', port: 8000 }
  for (const host of [
    '127.0.0.1',
    'localhost',
    'LOCALHOST',
    'localhost.',
    '127.9.9.9',
    '0.0.0.0',
  ]) {
    t.equal(leadsTo(`http://${host}:8000`, loopback), true, host)
  }
  for (const host of ['[::1]', '[::]', '[::ffff:127.0.0.1]', 'a.localhost', '2130706433']) {
    t.equal(leadsTo(`http://${host}:8000/base`, loopback), true, host)
    t.equal(leadsTo(`http://${host}:8000`, { host: '0.0.0.0', port: 8000 }), true, host)
    t.equal(leadsTo(`http://${host}:8000`, { host: '::', port: 8000 }), true, host)
  }
  t.equal(leadsTo('http://127.0.0.1:80', { host: 'localhost', port: 80 }), true, 'http default')
  t.equal(leadsTo('https://localhost', { host: '::1', port: 443 }), true, 'https default')
  t.equal(leadsTo('http://10.0.0.5:8000', { host: '10.0.0.5', port: 8000 }), true, 'same address')
})

t.test('leadsTo() lets other ports and other machines be', async (t) => {
  const loopback = { host: '127.0.0.1', port: 8000 }
  t.equal(leadsTo('http://127.0.0.1:8001', loopback), false)
  t.equal(leadsTo('http://10.0.0.5:8000', loopback), false)
  t.equal(leadsTo('http://host.docker.internal:8000', loopback), false)
  t.equal(leadsTo('http://127.0.0.1:8000', { host: '10.0.0.5', port: 8000 }), false)
  t.equal(leadsTo('http://127.0.0.1:80', { host: '127.0.0.1', port: 0 }), false, 'port unknown')
  t.equal(leadsTo('no url', loopback), false)
})

t.test('reaches() wants plain HTTP and an address of the listener', async (t) => {
  const table: [url: string, host: string, reached: boolean][] = [
    ['http://127.0.0.1:8000/v1', '127.0.0.1', true],
    ['http://localhost:8000', '127.0.0.1', true],
    ['http://localhost:8000', '::1', true],
    ['http://127.0.0.9:8000', '::', true],
    ['http://[::1]:8000', '::', true],
    ['http://127.0.0.1:8000', '0.0.0.0', true],
    ['http://10.0.0.1:8000', '10.0.0.1', true],
    ['http://box.lan:8000', 'box.lan', true],
    ['http://[::1]:8000', '0.0.0.0', false],
    ['http://[::1]:8000', '127.0.0.1', false],
    ['http://127.0.0.1:8000', '::1', false],
    ['http://127.0.0.1:8001', '127.0.0.1', false],
    ['http://10.0.0.1:8000', '127.0.0.1', false],
    ['https://127.0.0.1:8000', '127.0.0.1', false],
    ['no url', '127.0.0.1', false],
  ]
  for (const [url, host, reached] of table) {
    t.equal(reaches(url, { host, port: 8000 }), reached, `${url} ${host}`)
  }
})

t.test('originOf() is where this machine reaches a listener', async (t) => {
  for (const [host, origin] of [
    ['127.0.0.1', 'http://127.0.0.1:1'],
    ['0.0.0.0', 'http://127.0.0.1:1'],
    ['', 'http://127.0.0.1:1'],
    ['::', 'http://[::1]:1'],
    ['[::1]', 'http://[::1]:1'],
    ['fd00::5', 'http://[fd00::5]:1'],
    ['Box.lan', 'http://box.lan:1'],
  ] as const) {
    t.equal(originOf({ host, port: 1 }), origin, host)
    t.equal(reaches(origin, { host: reachable(host), port: 1 }), true, 'and it does')
  }
  for (const host of ['0.0.0.0', '::', '[::]']) t.equal(isAny(host), true, host)
  for (const host of ['127.0.0.1', '', 'box']) t.equal(isAny(host), false, host)
})

t.test('hosts and ports as sockets take them', async (t) => {
  t.strictSame(['[::1]', 'Box.', '10.0.0.1'].map(bare), ['::1', 'box', '10.0.0.1'])
  const ports = ['http://a', 'https://a', 'http://a:81'].map((url) => portOf(new URL(url)))
  t.strictSame(ports, [80, 443, 81])
})
