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

t.test('quotation marks around a key are no part of it', async (t) => {
  for (const text of ['"key"', "'key'", '`key`']) {
    t.same(parseKey(text), { ok: true, value: 'key' }, text)
    t.same(parseKeyFile(`${text}\n`), { ok: true, value: 'key' }, text)
    t.same(parseKeysFile(`a\n${text}\n`), { ok: true, value: ['a', 'key'] }, text)
  }
  t.same(parseKeyList('"a","b"'), { ok: true, value: ['a', 'b'] })
  t.same(parseKeyList("'a, b'"), { ok: true, value: ['a', 'b'] })
  t.same(parseKey('s3"t'), { ok: true, value: 's3"t' }, 'inside it is one')
  for (const text of ['"s3', "s3'", '"', '""', '\u201Cs3\u201D', '"s3\'']) {
    const parsed = parseKey(text)
    t.equal(parsed.ok, false, text)
    t.notMatch(parsed.ok ? '' : parsed.messages.join(), /s3/)
  }
})

t.test(
  'a key file that is not UTF-8 is told as such, and a byte-order mark is no key',
  async (t) => {
    t.same(parseKeyFile('\uFEFFkey\r\n'), { ok: true, value: 'key' })
    t.same(parseKeysFile('\uFEFFone\ntwo'), { ok: true, value: ['one', 'two'] })
    const latin = Buffer.from('s3cr\xe9t\n', 'latin1').toString()
    const wide = Buffer.from('\uFEFFs3cret\n', 'utf16le').toString()
    for (const [text, words] of [
      [latin, /file that is not UTF-8/],
      [wide, /file that is UTF-16/],
      ['s3cret\0', /file that holds a NUL/],
    ] as const) {
      for (const parse of [parseKeyFile, parseKeysFile]) {
        const parsed = parse(text)
        t.match(parsed, { ok: false, messages: [words] })
        t.notMatch(JSON.stringify(parsed), /s3/)
      }
    }
  },
)
