import t from 'tap'
import { replaceModel, withModel } from '../../src/proxy/rewrite.ts'
import { scanBody } from '../../src/proxy/scan.ts'

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
  t.equal(replaced('{"r":{"model":"g"}}'), '{"r":{"model":"default"}}')
  t.equal(replaced('{"model":null,"r":{"model":"g"}}'), '{"model":null,"r":{"model":"default"}}')
  t.equal(replaced('{"model":"g\\"\\\\","x":1}'), '{"model":"default","x":1}')
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
  ]) {
    const buffer = Buffer.from(event)
    t.equal(replaceModel(buffer, 'default'), buffer, event)
  }
})
