import t from 'tap'
import { responseIdOf } from '../../src/api/responses.ts'
import { MadeId, Sticky } from '../../src/proxy/sticky.ts'

t.test('find() knows who made a response, for an hour after its last use', async (t) => {
  let now = 0
  const sticky = new Sticky(() => now)
  sticky.remember('resp_1', 'a')
  t.equal(sticky.find('resp_1'), 'a')
  t.equal(sticky.find('resp_2'), null)
  now = 3_599_999
  t.equal(sticky.find('resp_1'), 'a', 'and using it renews it')
  now += 3_599_999
  t.equal(sticky.find('resp_1'), 'a')
  now += 3_600_000
  t.equal(sticky.find('resp_1'), null)
})

t.test('remember() is bounded: the oldest go first, and no id is endless', async (t) => {
  const sticky = new Sticky(() => 0)
  for (let i = 0; i <= 10_000; i++) sticky.remember(`r${i}`, 'a')
  t.equal(sticky.find('r0'), null)
  t.equal(sticky.find('r1'), 'a')
  sticky.remember('x'.repeat(257), 'a')
  t.equal(sticky.find('x'.repeat(257)), null)
})

t.test('ids are read from paths and from the beginning of answers', async (t) => {
  t.equal(responseIdOf('GET', '/v1/responses/resp_1'), 'resp_1')
  t.equal(responseIdOf('GET', '/v1/responses/resp_1/cancel'), 'resp_1')
  t.equal(responseIdOf('POST', '/v1/responses/resp_1/cancel'), 'resp_1')
  t.equal(responseIdOf('POST', '/v1/responses/input_tokens'), null, 'a route of its own')
  t.equal(responseIdOf('GET', '/v1/responses'), null)
  t.equal(responseIdOf('GET', '/v1/responsesx/y'), null)
})

t.test('MadeId finds the id of the response itself, in pieces of any size', async (t) => {
  const cases: readonly (readonly ['id' | 'response.id', string, string | null])[] = [
    ['id', '{"id":"resp_1","output":[]}', 'resp_1'],
    ['id', '{"output":[{"id":"msg_1","x":{"id":"y"}}],"id" : "resp_1"}', 'resp_1'],
    ['id', '{"metadata":{"id":"m"},"text":"\\"id\\":\\"x\\"","id":"resp_1"}', 'resp_1'],
    ['id', '{"input":"{\\"id\\":\\"x","id":"resp_1"}', 'resp_1'],
    ['id', '["id","x"]', null],
    ['id', '{"object":"id","id":7}', null],
    ['id', '{"object":"response"}', null],
    ['id', `{"id":"${'x'.repeat(257)}"}`, null],
    ['id', '{"id":"a\\u0062"}', null],
    ['response.id', 'data: {"type":"x","response":{"output":[{"id":"m"}],"id":"r9"}}', 'r9'],
    ['response.id', 'data: {"item":{"id":"msg_1"},"id":"y"}', null],
  ]
  for (const [where, text, id] of cases) {
    t.equal(new MadeId(where).push(Buffer.from(text)), id, text)
    const finder = new MadeId(where)
    const found = [...Buffer.from(text)].map((byte) => finder.push(Buffer.from([byte])))
    t.strictSame(
      found.filter((one) => one !== null),
      id === null ? [] : [id],
      `${text}, in bytes`,
    )
  }
})
