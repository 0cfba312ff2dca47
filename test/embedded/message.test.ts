import t from 'tap'
import { readMessage } from '../../src/embedded/message.ts'

t.test('readMessage() takes what the child sends and nothing else', async (t) => {
  const ready = { type: 'ready', port: 1, model: 'm', kind: 'toy' }
  t.strictSame(readMessage(ready), ready)
  t.strictSame(readMessage({ type: 'failed', cause: 'c' }), { type: 'failed', cause: 'c' })
  const wrong = [null, 'ready', {}, { type: 'failed' }, { type: 'ready' }, { type: 'other' }]
  for (const value of wrong) t.equal(readMessage(value), null)
  t.equal(readMessage({ ...ready, port: '1' }), null)
  t.equal(readMessage({ ...ready, kind: 'x' }), null)
})
