import * as fc from 'fast-check'
import t from 'tap'
import { isoTime } from '../../src/runtime/clock.ts'
import { holds } from '../support/property.ts'

t.test('isoTime() is what Date makes of it, in any order of seconds', async (t) => {
  holds(
    t,
    'whatever was asked before',
    fc.property(fc.array(fc.integer({ min: 0, max: 4_000_000 })), (times) =>
      times.every((ms) => {
        const wallMs = 1_795_000_000_000 + ms
        return isoTime(wallMs) === new Date(wallMs).toISOString()
      }),
    ),
  )
})
