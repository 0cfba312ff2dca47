import t from 'tap'
import {
  blamesNobody,
  CODE_OF_TRANSPORT,
  codeOf,
  transportFailure,
} from '../../src/errors/transport.ts'

const failing = (code: string): Error => Object.assign(new Error('x'), { code })

t.test('transportFailure() goes by codes, also of what caused an error', async (t) => {
  const rows = [
    ['ECONNREFUSED', 'refused'],
    ['ENOENT', 'refused'],
    ['EHOSTUNREACH', 'unreachable'],
    ['UND_ERR_SOCKET', 'reset'],
    ['HPE_INVALID_CONSTANT', 'protocol'],
    ['UND_ERR_HEADERS_OVERFLOW', 'protocol'],
    ['EMFILE', 'ours'],
    ['ENOMEM', 'ours'],
    ['ENOTFOUND', 'unresolved'],
    ['EAI_AGAIN', 'unresolved'],
    ['ABORTED', 'unsent'],
  ] as const
  for (const [code, expected] of rows) {
    t.equal(transportFailure(failing(code)), expected, code)
    t.equal(transportFailure(new Error('y', { cause: failing(code) })), expected, `${code} inside`)
  }
  t.equal(transportFailure(new Error('x')), 'reset', 'nothing known')
  t.equal(transportFailure(Object.assign(new Error('x'), { name: 'HTTPParserError' })), 'protocol')
  t.equal(codeOf(null), '')
})

t.test('blamesNobody(): our limits, our resolver and what we gave up', async (t) => {
  const blameless = (Object.keys(CODE_OF_TRANSPORT) as (keyof typeof CODE_OF_TRANSPORT)[]).filter(
    blamesNobody,
  )
  t.strictSame(blameless, ['ours', 'unresolved', 'unsent'])
})
