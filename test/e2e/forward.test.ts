import t from 'tap'
import { chat } from '../support/ask.ts'
import { gateOverOne } from '../support/gates.ts'

const isEnd = (line: string): boolean => line.includes('exchange_ended')

t.test(
  'the line of a request in the log has its fields in the order in which people read them',
  async (t) => {
    const { gate } = await gateOverOne(t, { models: ['m-a'] })
    await (await chat(gate)).text()
    await gate.until(() => gate.lines.some(isEnd))
    const line = gate.lines.find(isEnd) ?? ''
    const times = 'attempts ttft_ms duration_ms bytes phase'
    const fields = `time level event request_id method path upstream status ending code ${times}`
    t.equal(Object.keys(JSON.parse(line) as object).join(' '), fields)
  },
)
