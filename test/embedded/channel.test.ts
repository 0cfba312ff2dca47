import t from 'tap'
import {
  exitCodeOf,
  FAILURES,
  failureOfExitCode,
  failureText,
  readMessage,
} from '../../src/embedded/channel.ts'

t.test('readMessage() takes what the child sends and nothing else', async (t) => {
  const ready = { type: 'ready', port: 1, model: 'm', kind: 'toy' }
  t.strictSame(readMessage(ready), ready)
  t.strictSame(readMessage({ type: 'failed', cause: 'c' }), { type: 'failed', cause: 'c' })
  const wrong = [null, 'ready', {}, { type: 'failed' }, { type: 'ready' }, { type: 'other' }]
  for (const value of wrong) t.equal(readMessage(value), null)
  t.equal(readMessage({ ...ready, port: '1' }), null)
  t.equal(readMessage({ ...ready, kind: 'x' }), null)
})

t.test('failureOfExitCode() knows its own codes and takes no crash for one', async (t) => {
  for (const code of FAILURES) t.equal(failureOfExitCode(exitCodeOf(code)), code)
  t.equal(exitCodeOf('bad_model'), 66)
  for (const code of [null, 0, 1, 63, 68, 134, 139]) t.equal(failureOfExitCode(code), null)
})

t.test('failureText() says what to do, whether the cause is known or not', async (t) => {
  t.match(failureText('package_absent', ''), 'npm install node-llama-cpp@3.21.1')
  t.match(failureText('package_absent', ''), 'GENGATE_EMBEDDED=off')
  t.match(failureText('no_binary', 'no glibc'), /\(no glibc\)/)
  t.match(failureText('bad_model', 'no such file'), 'no such file')
  t.match(failureText('bad_model', ''), 'GENGATE_EMBEDDED')
  t.match(failureText('cache_unwritable', 'EACCES'), /EACCES.*XDG_CACHE_HOME/)
})
