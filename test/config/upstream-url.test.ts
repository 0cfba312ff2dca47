import t from 'tap'
import { parseUpstreamUrl } from '../../src/config/upstream-url.ts'

t.test(
  'parseUpstreamUrl() takes /v1 and trailing slashes off and keeps a deeper path',
  async (t) => {
    const cases: [string, string][] = [
      ['http://127.0.0.1:8001', 'http://127.0.0.1:8001'],
      ['http://127.0.0.1:8001/', 'http://127.0.0.1:8001'],
      ['http://127.0.0.1:8001/v1', 'http://127.0.0.1:8001'],
      ['http://127.0.0.1:8001/v1/', 'http://127.0.0.1:8001'],
      ['HTTP://Box.Example:8001/api/v1//', 'http://box.example:8001/api'],
      ['http://box:8001/v1/tenants/a', 'http://box:8001/v1/tenants/a'],
      ['http://box:80/v1', 'http://box:80'],
      ['http://[::1]:8001/v1', 'http://[::1]:8001'],
      ['https://llm.example', 'https://llm.example'],
      ['https://llm.example:443/openai/v1', 'https://llm.example/openai'],
      ['https://llm.example:8443', 'https://llm.example:8443'],
    ]
    for (const [text, url] of cases) {
      t.same(parseUpstreamUrl(text), { ok: true, value: url }, text)
      t.same(parseUpstreamUrl(url), { ok: true, value: url }, `${url} stays itself`)
    }
  },
)

t.test('parseUpstreamUrl() says what is wrong and never repeats the text', async (t) => {
  const cases: [string, RegExp][] = [
    ['http://user:s3cret@box:8001', /user name or a password/],
    ['http://s3cret@box:8001/v1', /user name or a password/],
    ['http://user:1/s3cret@box:8001', /user name or a password/],
    ['http://@box:8001/s3cret', /user name or a password/],
    ['http://box:8001/v1?key=s3cret', /query/],
    ['http://box:8001/v1?', /query/],
    ['http://box:8001/#s3cret', /fragment/],
    ['http://user:s3c?ret@box:8001', /user name or a password/],
    ['http://[fe80::1%25s3cret]:8001', /zone/],
    ['http://[fe80::1%s3cret]:8001', /zone/],
    ['file:///s3cret', /http:\/\/ or https/],
    ['ftp://box:21/s3cret', /http:\/\/ or https/],
    ['s3cret', /http:\/\/ or https/],
    ['127.0.0.1:8001', /http:\/\/ or https/],
    ['http:box', /http:\/\/ or https/],
    ['http://box/v1', /name the port/],
    ['http://box:/v1', /name the port/],
    ['http://box:0', /port 0/],
    ['http://box:99999/s3cret', /no URL/],
    ['http://', /no URL/],
    ['http://a b:8001', /spaces/],
    ['http:\\\\box:8001', /backslashes/],
    ['http://box:8001\\s3cret', /backslashes/],
    ['http://box:8001//v1', /empty path segment/],
    ['http://box:8001/v1/v1', /\/v1\/v1/],
    ['http://box:8001/v1/chat/completions', /base URL only/],
  ]
  for (const [text, message] of cases) {
    const parsed = parseUpstreamUrl(text)
    const said = parsed.ok ? parsed.value : parsed.messages.join('\n')
    t.equal(parsed.ok, false, text)
    t.match(said, message, text)
    t.notMatch(said, /s3cret|s3c|ret@/, `${text} is not repeated`)
  }
})
