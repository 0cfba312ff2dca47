import t from 'tap'
import { Tail } from '../../src/process/output.ts'

t.test('Tail keeps the last lines, however they are cut', async (t) => {
  const tail = new Tail()
  const text = Buffer.from('one\r\ntwo ü\nload 1%\rload 2%\rend')
  for (const byte of text) tail.add(Buffer.from([byte]))
  t.same(tail.lines, ['one', 'two ü', 'load 1%', 'load 2%', 'end'])
})

t.test('Tail does not grow', async (t) => {
  const tail = new Tail()
  for (let n = 0; n < 1_000; n++) tail.add(Buffer.from(`line ${n}\n`))
  t.equal(tail.lines.length, 200)
  t.equal(tail.lines.at(-1), 'line 999')
  tail.add(Buffer.alloc(1_000_000, 'x'))
  tail.add(Buffer.alloc(1_000_000, 'x'))
  t.ok((tail.lines.at(-1)?.length ?? 0) <= 1_000)
})
