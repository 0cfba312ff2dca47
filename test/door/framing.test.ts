import t from 'tap'
import { APP, type Ask, codeOf, codeWith } from './guard-ask.ts'

// Rows of docs/bad-input.md that are shown here: B03, B04.

t.test('framingFault B02–B05: lengths and codings', async (t) => {
  for (const value of ['+27', '-1', '0x1b', '', '27, 27', '18446744073709551616', '1 2']) {
    t.equal(codeWith('Content-Length', value), 'bad_framing', value)
  }
  t.equal(codeWith('Content-Length', '0027'), 'ok')
  for (const value of ['xchunked', 'chunked, identity', 'chunked, chunked', '\vchunked', '']) {
    t.equal(codeWith('Transfer-Encoding', value), 'bad_framing', JSON.stringify(value))
  }
  t.equal(codeWith('Transfer-Encoding', 'gzip, chunked'), 'unsupported_transfer_coding')
  t.equal(codeWith('Transfer-Encoding', 'Chunked'), 'ok')
})

t.test('framingFault B01, B06, B13–B15: what excludes each other', async (t) => {
  const length = ['Content-Length', '3'] as const
  const chunked = ['Transfer-Encoding', 'chunked'] as const
  const cases: [string, Ask][] = [
    ['bad_framing', { headers: [length, chunked] }],
    ['bad_framing', { headers: [length, ['content-length', '3']] }],
    ['bad_framing', { headers: [chunked, chunked] }],
    ['bad_framing', { version: '1.0', headers: [chunked] }],
    ['bad_framing', { version: '1.2' }],
    ['bad_framing', { version: '0.9' }],
    ['bad_framing', { version: '2.0' }],
    ['bad_framing', { headers: [['Host', null]] }],
    ['ok', { version: '1.0', headers: [['Host', null]] }],
    [
      'bad_framing',
      {
        headers: [
          ['Host', 'localhost'],
          ['host', 'evil.example'],
        ],
      },
    ],
    [
      'bad_framing',
      {
        headers: [
          ['Origin', APP],
          ['Origin', 'https://evil.example'],
        ],
      },
    ],
    [
      'bad_framing',
      {
        headers: [
          ['Content-Encoding', 'x'],
          ['Content-Encoding', 'x'],
        ],
      },
    ],
    [
      'expectation_failed',
      {
        headers: [
          ['Expect', '100-continue'],
          ['Expect', '100-continue'],
        ],
      },
    ],
    [
      'unsupported_media_type',
      {
        headers: [
          ['Content-Type', 'x'],
          ['content-type', 'x'],
        ],
      },
    ],
  ]
  for (const [expected, what] of cases) t.equal(codeOf(what), expected, JSON.stringify(what))
})
