import t from 'tap'
import type { GateEvent } from '../../src/core/event.ts'
import { fanOut } from '../../src/telemetry/events.ts'

const event: GateEvent = { type: 'held', requestId: 'r' }

t.test('emit() tells every observer in order, whatever one of them does', async (t) => {
  const seen: string[] = []
  const reports: [string, unknown][] = []
  const bug = new Error('bug')
  const emit = fanOut(
    [
      { name: 'one', observe: () => void seen.push('one') },
      {
        name: 'broken',
        observe: () => {
          throw bug
        },
      },
      { name: 'two', observe: () => void seen.push('two') },
    ],
    (name, error) => {
      reports.push([name, error])
      throw new Error('the report fails, too')
    },
  )
  t.doesNotThrow(() => emit(event))
  emit(event)
  t.strictSame(seen, ['one', 'two', 'one', 'two'])
  t.strictSame(reports, [['broken', bug]], 'reported once')
})
