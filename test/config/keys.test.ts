import t from 'tap'
import { parseKey, parseKeyFile, parseKeyList, parseKeysFile } from '../../src/config/keys.ts'

t.test('parseKey() refuses what a header cannot carry, without repeating it', async (t) => {
  t.same(parseKey('sk-1_2.3'), { ok: true, value: 'sk-1_2.3' })
  for (const key of [
    '',
    '  ',
    's3cret\r',
    's3cret\nX: y',
    's3cret\0',
    's3 cret',
    's3crét',
    '(set)',
  ]) {
    const parsed = parseKey(key)
    t.equal(parsed.ok, false, JSON.stringify(key))
    t.notMatch(parsed.ok ? '' : parsed.messages.join(), /s3/)
  }
})

t.test('parseKeyList() splits at commas and refuses an empty entry', async (t) => {
  t.same(parseKeyList('a, b ,a'), { ok: true, value: ['a', 'b'] })
  for (const list of ['a,,b', 'a,', ',', 'a,b\n', 'a,\tb\n']) {
    t.equal(parseKeyList(list).ok, false, JSON.stringify(list))
  }
})

t.test('parseKeyFile() takes one line break off the end, and no more', async (t) => {
  t.same(parseKeyFile('key\n'), { ok: true, value: 'key' })
  t.same(parseKeyFile('key\r\n'), { ok: true, value: 'key' })
  t.equal(parseKeyFile('key\n\n').ok, false)
  t.equal(parseKeyFile('').ok, false)
  t.equal(parseKeyFile('one\ntwo\n').ok, false)
})

t.test('parseKeysFile() reads one key a line', async (t) => {
  t.same(parseKeysFile('one\r\n\ntwo,with,commas\none\n'), {
    ok: true,
    value: ['one', 'two,with,commas'],
  })
  t.equal(parseKeysFile('\n \n').ok, false)
  t.equal(parseKeysFile('# my key\n').ok, false)
})
