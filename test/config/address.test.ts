import t from 'tap'
import { isLoopbackHost, leadsTo, parseHost } from '../../src/config/address.ts'

t.test('isLoopbackHost() counts only what cannot be reached from outside', async (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1']) {
    t.equal(isLoopbackHost(host), true, host)
  }
  for (const host of ['0.0.0.0', '::', '192.168.1.5', 'box', 'x.localhost', '127.1', '128.0.0.1']) {
    t.equal(isLoopbackHost(host), false, host)
  }
})

t.test('parseHost() takes addresses and names, and neither port nor scheme', async (t) => {
  t.same(parseHost('[::1]'), { ok: true, value: '::1' })
  t.same(parseHost('0.0.0.0'), { ok: true, value: '0.0.0.0' })
  t.same(parseHost('Box.Example'), { ok: true, value: 'box.example' })
  for (const host of [
    '127.0.0.1:8000',
    'http://box',
    '*',
    '0',
    '127.1',
    '1.2.3.4.5',
    'a b',
    '-a',
  ]) {
    t.equal(parseHost(host).ok, false, host)
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
    t.equal(leadsTo(loopback, `http://${host}:8000`), true, host)
  }
  for (const host of ['[::1]', '[::]', '[::ffff:127.0.0.1]', 'a.localhost', '2130706433']) {
    t.equal(leadsTo(loopback, `http://${host}:8000/base`), true, host)
    t.equal(leadsTo({ host: '0.0.0.0', port: 8000 }, `http://${host}:8000`), true, host)
    t.equal(leadsTo({ host: '::', port: 8000 }, `http://${host}:8000`), true, host)
  }
  t.equal(leadsTo({ host: 'localhost', port: 80 }, 'http://127.0.0.1:80'), true, 'http default')
  t.equal(leadsTo({ host: '::1', port: 443 }, 'https://localhost'), true, 'https default')
  t.equal(leadsTo({ host: '10.0.0.5', port: 8000 }, 'http://10.0.0.5:8000'), true, 'same address')
})

t.test('leadsTo() lets other ports and other machines be', async (t) => {
  const loopback = { host: '127.0.0.1', port: 8000 }
  t.equal(leadsTo(loopback, 'http://127.0.0.1:8001'), false)
  t.equal(leadsTo(loopback, 'http://10.0.0.5:8000'), false)
  t.equal(leadsTo(loopback, 'http://host.docker.internal:8000'), false)
  t.equal(leadsTo({ host: '10.0.0.5', port: 8000 }, 'http://127.0.0.1:8000'), false)
  t.equal(leadsTo({ host: '127.0.0.1', port: 0 }, 'http://127.0.0.1:80'), false, 'port unknown')
})
