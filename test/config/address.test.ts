import t from 'tap'
import { parseHost } from '../../src/config/address.ts'

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
