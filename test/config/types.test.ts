import t from 'tap'
import {
  anyText,
  entriesOf,
  oneOf,
  quoted,
  readAs,
  type SettingType,
  textTo,
  wholeNumber,
  yesOrNo,
} from '../../src/config/types.ts'

function said(type: SettingType<unknown>, text: string): string {
  const read = readAs(type, text)
  return read.ok ? 'ok' : read.messages.join('\n')
}

t.test('wholeNumber() takes decimal digits within its range and says the range', async (t) => {
  const type = wholeNumber(5, 10)
  t.same(readAs(type, '5'), { ok: true, value: 5 })
  t.same(readAs(type, '010'), { ok: true, value: 10 })
  for (const text of ['4', '11', '-5', '5.0', '5e0', '0x5', ' 5', '', 'five', '9'.repeat(400)]) {
    t.match(said(type, text), /^must be a whole number from 5 to 10, not "/, text)
  }
})

t.test('oneOf() lists the words', async (t) => {
  t.same(readAs(oneOf(['a', 'b']), 'b'), { ok: true, value: 'b' })
  t.equal(said(oneOf(['a', 'b']), 'B'), 'must be one of a, b, not "B".')
})

t.test('yesOrNo takes 1 and 0, true and false', async (t) => {
  for (const text of ['1', 'true']) t.same(readAs(yesOrNo, text), { ok: true, value: true })
  for (const text of ['0', 'false']) t.same(readAs(yesOrNo, text), { ok: true, value: false })
  t.equal(said(yesOrNo, 'yes'), 'must be one of 1, 0, true, false, not "yes".')
})

t.test('textTo() hands on the value or every message, each once', async (t) => {
  const type = textTo((text, refuse) => {
    if (text === 'x') return 1
    for (const message of ['a', 'b', 'a']) refuse(message)
    return 2
  })
  t.same(readAs(type, 'x'), { ok: true, value: 1 })
  t.same(readAs(type, 'y'), { ok: false, messages: ['a', 'b'] })
  t.same(readAs(anyText, 'y'), { ok: true, value: 'y' })
})

t.test('quoted() cannot flood or colour a terminal', async (t) => {
  t.equal(quoted('a\u001b[31m'), '"a\uFFFD[31m"')
  t.equal(quoted('x'.repeat(1000)).length, 62)
})

t.test('entriesOf() trims and drops what is empty', async (t) => {
  t.same(entriesOf(' a ,, b,', ','), ['a', 'b'])
  t.same(entriesOf('', ','), [])
})
