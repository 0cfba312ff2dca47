import t from 'tap'
import { clip, toOpenAiBody } from '../../src/errors/body.ts'
import { ERRORS } from '../../src/errors/catalogue.ts'

t.test('toOpenAiBody() has all four keys for every code', async (t) => {
  for (const code of Object.keys(ERRORS) as (keyof typeof ERRORS)[]) {
    const { error } = toOpenAiBody(code)
    t.strictSame(Object.keys(error), ['message', 'type', 'param', 'code'])
    t.equal(error.code, code)
  }
})

t.test('clip() escapes what could forge a log line and cuts to the limit', async (t) => {
  t.equal(clip('a\nb\u001B[31m\u2028c', 99), 'a\uFFFDb\uFFFD[31m\uFFFDc')
  t.equal(clip('abcdef', 4), 'abc…')
})
