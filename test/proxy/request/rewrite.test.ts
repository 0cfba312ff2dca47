import t from 'tap'
import { replaceModel, withModel } from '../../../src/proxy/request/rewrite.ts'
import { scanBody } from '../../../src/proxy/request/scan.ts'

function rewritten(body: string, name: string): string {
  const bytes = Buffer.from(body)
  const scan = scanBody(bytes)
  if (!scan.ok) throw new TypeError(scan.code)
  return withModel(bytes, scan, name).toString()
}

t.test('withModel replaces the name in place, every other byte stays', async (t) => {
  t.equal(
    rewritten('{"seed":12345678901234567890, "model" : "default" ,"t":1E5,"z":-0}', 'gemma'),
    '{"seed":12345678901234567890, "model" : "gemma" ,"t":1E5,"z":-0}',
  )
  t.equal(rewritten('{"mod\\u0065l":"a"}', 'x"y'), '{"mod\\u0065l":"x\\"y"}')
  t.equal(rewritten('{"model":"a","model":"b"}', 'x'), '{"model":"a","model":"x"}')
})

t.test('withModel inserts the name where there is none, and replaces null', async (t) => {
  t.equal(rewritten('{"a":1}', 'x'), '{"model":"x","a":1}')
  t.equal(rewritten(' {\n}', 'x'), ' {"model":"x"\n}')
  // An inserted name before it would lose: the last duplicate counts.
  t.equal(rewritten('{"model":null}', 'x'), '{"model":"x"}')
})

const replaced = (event: string): string => replaceModel(Buffer.from(event), 'default').toString()

t.test('replaceModel replaces the first name an event tells', async (t) => {
  t.equal(
    replaced('data: {"id":"x","model":"gemma","model":"y"}\n\n'),
    'data: {"id":"x","model":"default","model":"y"}\n\n',
  )
  t.equal(
    replaced('data: {"a": 1, "model" : "g"}\r\n\r\n'),
    'data: {"a": 1, "model" : "default"}\r\n\r\n',
  )
  t.equal(replaced('{"model":"","x":1}'), '{"model":"default","x":1}', 'Ollama tells an empty one')
  for (const name of ['response', 'message']) {
    t.equal(replaced(`{"${name}":{"model":"g"}}`), `{"${name}":{"model":"default"}}`)
  }
  t.equal(
    replaced('{"model":null,"response":{"model":"g"}}'),
    '{"model":null,"response":{"model":"default"}}',
  )
  t.equal(
    replaced('event: data:x\ndata:{"a":1,\ndata: "model":"g"}\n\n'),
    'event: data:x\ndata:{"a":1,\ndata: "model":"default"}\n\n',
  )
  t.equal(replaced('{"model":"g\\"\\\\","x":1}'), '{"model":"default","x":1}')
})

t.test('replaceModel leaves names that are not the answer’s own', async (t) => {
  const client = '"metadata":{"model":"theirs"},"tools":[{"d":{"model":"theirs"}}]'
  for (const [before, after] of [
    ['{"response":{', '}}'],
    ['{', '}'],
  ] as const) {
    t.equal(
      replaced(`data: ${before}${client},"model":"g"${after}\n\n`),
      `data: ${before}${client},"model":"default"${after}\n\n`,
    )
  }
  // vLLM writes the content of a message before its model.
  const content = '"content":[{"type":"tool_use","input":{"model":"theirs"}}]'
  t.equal(replaced(`{${content},"model":"g"}`), `{${content},"model":"default"}`)
})

t.test('replaceModel: the same buffer where there is nothing to replace', async (t) => {
  for (const event of [
    '',
    'data: [DONE]\n\n',
    ': "model":"x"\n\n',
    'data: {"model":1}\n\n',
    'data: {"models":"x","x":"model"}\n\n',
    'data: {"content":"say \\"model\\":\\"x\\""}\n\n',
    'data: {"say \\"model":"x"}\n\n',
    'data: {"content":"{\\"model\\":\\"x\\"}"}\n\n',
    'data: {"model":"cut off',
    'data: {"model"',
    ': {"model":"x"}\n\n',
    'data: {"r":{"model":"x"}}\n\n',
    'data: {"response":[{"model":"x"}]}\n\n',
    'data: {"response":1,"r":{"model":"x"}}\n\n',
  ]) {
    const buffer = Buffer.from(event)
    t.equal(replaceModel(buffer, 'default'), buffer, event)
  }
})
