import { readFileSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { LogFile, Tail } from '../../src/process/output.ts'

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

t.test('LogFile keeps two files of bounded size, for its user alone', async (t) => {
  const path = join(t.testdir({}), 'new', 'a.log')
  const log = new LogFile(path, 10)
  for (const text of ['first 1\n', 'second\n', 'third\n']) {
    log.write(text)
    // What waits together is written together.
    while ((await readFile(path, 'utf8').catch(() => '')) !== text) await setImmediate()
  }
  await log.close()
  t.equal(readFileSync(path, 'utf8'), 'third\n')
  t.equal(readFileSync(`${path}.1`, 'utf8'), 'second\n', 'the one before that is dropped')
  t.equal(statSync(path).mode & 0o777, 0o600)
})

t.test('LogFile goes on where nothing can be written', async (t) => {
  const log = new LogFile('/dev/null/a.log')
  log.write('lost\n')
  await log.close()
  log.write('lost, too\n')
  await log.close()
  t.notOk(log.destroyed)
})
