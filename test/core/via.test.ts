import t from 'tap'
import { viaOf } from '../../src/core/via.ts'

t.test('viaOf B68: own id, or more than five gates, is a loop', async (t) => {
  t.strictSame(viaOf(undefined, 'me'), { value: '1.1 gengate-me', loop: false })
  t.strictSame(viaOf('1.1 gengate-a, 1.0 fred, HTTP/1.1 gengate-b (x)', 'me'), {
    value: '1.1 gengate-a, 1.1 gengate-b, 1.1 gengate-me',
    loop: false,
  })
  t.equal(viaOf('1.1 gengate-me', 'me').loop, true)
  t.equal(viaOf('1.1 gengate-me2', 'me').loop, false)
  t.equal(viaOf('1.1 x-gengate-me', 'me').loop, false)
  t.equal(viaOf(gates(5), 'me').loop, false)
  t.equal(viaOf(gates(6), 'me').loop, true)
  t.equal(viaOf([gates(3), gates(3)], 'me').loop, true)
  t.ok(viaOf(gates(1000), 'me').value.length < 200, 'what is sent on does not grow')
  t.strictSame(viaOf('1.1 gengate-a\r\nx: y', 'me').value.includes('\r'), false)
})

/** A chain of this many other gates. */
function gates(count: number): string {
  return Array.from({ length: count }, (_, i) => `1.1 gengate-x${i}`).join(', ')
}
