import t from 'tap'
import { WAITING_LINES_MAX } from '../../src/telemetry/line-writer.ts'
import { openLog } from '../../src/telemetry/log.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

t.test('openLog() reports lines that nobody read in the style of the others', async (t) => {
  const clock = new VirtualClock()
  const texts: string[] = []
  let done: ((error: Error | null) => void) | undefined
  const log = openLog({
    tty: false,
    color: false,
    level: 'info',
    clock,
    to: {
      write(text, next) {
        texts.push(text)
        done = next
      },
    },
  })
  for (let i = 0; i < WAITING_LINES_MAX + 3; i++) log.observe({ type: 'embedded', message: `${i}` })
  done?.(null)
  await clock.advance(10)
  const lines = (texts[1] ?? '')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.match(lines[0], { event: 'embedded', message: '1' })
  t.match(lines.at(-1), { event: 'log_lines_dropped', message: /^2 log lines/ })
  const closing = log.close()
  done?.(null)
  await closing
})
