import t from 'tap'
import { durationText } from '../../src/core/duration.ts'

t.test('durationText() speaks in the unit that people would use', async (t) => {
  const cases: [number, string][] = [
    [-5, '0 s'],
    [0.4, '0 s'],
    [43.2, '43 ms'],
    [999, '999 ms'],
    [1_500, '1.5 s'],
    [9_940, '9.9 s'],
    [9_960, '10 s'],
    [12_000, '12 s'],
    [119_400, '119 s'],
    [300_000, '5 min'],
    [7_200_000, '2 h'],
    [400_000_000, '4 d'],
  ]
  for (const [ms, text] of cases) t.equal(durationText(ms), text)
})
