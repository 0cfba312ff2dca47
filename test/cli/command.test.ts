import t from 'tap'
import { stopStep } from '../../src/cli/command.ts'

t.test(
  'stopStep() drains at the first signal, and exits at a second one 500 ms later',
  async (t) => {
    t.same(stopStep('SIGINT', null, 10_000), { kind: 'drain' })
    t.same(stopStep('SIGINT', 10_000, 10_004), { kind: 'ignore' }, 'one Ctrl-C arrives twice')
    t.same(stopStep('SIGTERM', 10_000, 10_499), { kind: 'ignore' })
    t.same(stopStep('SIGTERM', 10_000, 10_500), { kind: 'exit', code: 143 })
    t.same(stopStep('SIGINT', 10_000, 60_000), { kind: 'exit', code: 130 })
  },
)
