import t from 'tap'
import { cpuNs, parseRss, parseSchedstat, parseStat, rssMb } from '../../bench/usage.ts'

t.test('parseSchedstat takes the time on the processor, the first of three numbers', async (t) => {
  t.equal(parseSchedstat('1234567890 42 7\n'), 1_234_567_890)
  t.equal(parseSchedstat('0 0 0'), 0)
  for (const text of ['', '12', 'x 1 2', '1 2 3 4']) t.equal(parseSchedstat(text), null, text)
})

t.test('parseStat adds user and system time, whatever the name of the process', async (t) => {
  const rest = 'S 1 100 100 0 -1 4194560 2000 0 5 0 150 50 0 0 20 0 11 0 5000 1000000'
  t.equal(parseStat(`77 (node) ${rest}`), 2e9)
  t.equal(parseStat(`77 (a) S 9 (b) ${rest}`), 2e9)
  t.equal(parseStat(''), null)
})

t.test('parseRss finds the resident size among the other lines', async (t) => {
  t.equal(parseRss('Name:\tnode\nVmHWM:\t  999 kB\nVmRSS:\t   51200 kB\nThreads:\t11\n'), 51_200)
  t.equal(parseRss('Name:\tkthreadd\n'), null)
})

t.test(
  'cpuNs and rssMb read this process on Linux, and know nothing of one that is not',
  async (t) => {
    const linux = process.platform === 'linux'
    const before = cpuNs(process.pid)
    t.equal(before !== null, linux)
    t.equal(rssMb(process.pid) !== null, linux)
    const until = process.cpuUsage().user + 30_000
    while (process.cpuUsage().user < until) Math.sqrt(until)
    if (before !== null) t.ok((cpuNs(process.pid) ?? 0) - before >= 20e6, 'work shows')
    t.equal(cpuNs(2 ** 30), null)
    t.equal(rssMb(2 ** 30), null)
  },
)
