import t, { type Test } from 'tap'
import { readAs, type SettingType } from '../../src/config/types.ts'
import {
  apiKey,
  apiKeyFile,
  apiKeys,
  apiKeysFile,
  embedded,
  host,
  hostNames,
  modelGroups,
  origins,
  upstreamFlag,
  upstreamList,
  upstreamUrl,
} from '../../src/config/values.ts'

// Rows of docs/faults.md that are shown here: config-quotes, config-encoding.

/** What is wrong with the text; `ok`: nothing. */
function said(type: SettingType<unknown>, text: string): string {
  const read = readAs(type, text)
  return read.ok ? 'ok' : read.messages.join('\n')
}

/** The value of the text; null: it is refused. */
function take<T>(type: SettingType<T>, text: string): T | null {
  const read = readAs(type, text)
  return read.ok ? read.value : null
}

/** Each text is refused, and none that may be a secret is repeated. */
function refuses(t: Test, type: SettingType<unknown>, texts: readonly string[]): void {
  for (const text of texts) {
    t.not(said(type, text), 'ok', JSON.stringify(text))
    t.notMatch(said(type, text), /s3/, JSON.stringify(text))
  }
}

t.test('upstreamList reads name and name=url in order', async (t) => {
  t.same(take(upstreamList, ' a , b2_c=http://box:1/v1,'), [
    { name: 'a', url: null },
    { name: 'b2_c', url: 'http://box:1' },
  ])
  t.match(said(upstreamList, ','), /no upstream/)
  t.match(said(upstreamList, 'http://box:1'), /without a name/)
  t.match(said(upstreamList, 'Vllm,2nd,a-b,=x'), /"Vllm"[^]*"2nd"[^]*"a-b"[^]*""/, 'all of them')
})

t.test('upstreamList never repeats what may be a password', async (t) => {
  const texts = ['a=http://u:s3cret@box:1', 'u:s3cret@box', 'a=s3cret', 'http://u:s3cret@b:1']
  refuses(t, upstreamList, texts)
  refuses(t, upstreamFlag, texts)
})

t.test('upstreamFlag also takes a bare URL', async (t) => {
  t.same(take(upstreamFlag, 'http://box:1/v1'), { name: null, url: 'http://box:1' })
  t.same(take(upstreamFlag, 'a=http://box:1'), { name: 'a', url: 'http://box:1' })
  t.same(take(upstreamFlag, 'ollama'), { name: 'ollama', url: null })
  t.match(said(upstreamFlag, 'file:///x'), /http:\/\/ or https/)
  t.match(said(upstreamFlag, '127.0.0.1:1'), /cannot be a name/)
})

t.test('modelGroups splits a member at its first colon', async (t) => {
  t.same(take(modelGroups, 'chat=vllm:Qwen/Qwen2.5|ollama:qwen2.5:3b ; x:y = b:m=n;'), [
    {
      public: 'chat',
      members: [
        { upstream: 'vllm', model: 'Qwen/Qwen2.5' },
        { upstream: 'ollama', model: 'qwen2.5:3b' },
      ],
    },
    { public: 'x:y', members: [{ upstream: 'b', model: 'm=n' }] },
  ])
})

t.test('modelGroups says which group is wrong, every one of them', async (t) => {
  for (const text of ['chat', 'chat=', '=a:b', 'chat=a', 'chat=a:', 'chat=:b', 'chat=a:b|c']) {
    t.match(said(modelGroups, text), /write public=upstream:model/, text)
  }
  t.match(said(modelGroups, ' ; '), /no group/)
  t.match(said(modelGroups, 'a=x:1;a=x:2'), /already taken/)
  t.match(said(modelGroups, 'a=x:1|x:1'), /twice/)
  t.match(said(modelGroups, `a=x:${'m'.repeat(257)}`), /at most 256/)
  t.match(said(modelGroups, 'a;b;c=x:1'), /"a"[^]*"b"/)
})

t.test('embedded tells a path from a word', async (t) => {
  t.same(take(embedded, 'auto'), { mode: 'auto' })
  t.same(take(embedded, 'off'), { mode: 'off' })
  for (const path of ['/m/a.gguf', './m', 'a.GGUF']) {
    t.same(take(embedded, path), { mode: 'path', path })
  }
  refuses(t, embedded, ['on', 'true', '1', 'no'])
})

t.test('hostNames takes names without port and wildcard', async (t) => {
  t.same(take(hostNames, 'Gate.Lan., my_gate,gate.lan'), ['gate.lan', 'my_gate'])
  t.match(said(hostNames, 'a:1,*.lan,http://x'), /"a:1"[^]*"\*.lan"[^]*"http:\/\/x"/)
})

t.test('origins takes origins as browsers send them', async (t) => {
  t.same(
    take(origins, 'HTTP://Localhost:3000/,https://a.b:443,chrome-extension://abc,app://x,NULL'),
    ['http://localhost:3000', 'https://a.b', 'chrome-extension://abc', 'app://x', 'null'],
  )
  const wrong = ['*', 'a.b', 'http://a/b', 'http://*.a', 'http://a:99999', 'http://u@a']
  refuses(t, origins, wrong)
})

t.test('apiKey refuses what a header cannot carry, without repeating it', async (t) => {
  t.same(take(apiKey, 'sk-1_2.3'), 'sk-1_2.3')
  const broken = ['s3cret\r', 's3cret\nX: y', 's3cret\0', 's3 cret', 's3crét']
  refuses(t, apiKey, ['', '  ', ...broken, '(set)'])
})

t.test('apiKeys splits at commas and refuses an empty entry', async (t) => {
  t.same(take(apiKeys, 'a, b ,a'), ['a', 'b'])
  refuses(t, apiKeys, ['a,,b', 'a,', ',', 'a,b\n', 'a,\tb\n'])
})

t.test('apiKeyFile takes one line break off the end, and no more', async (t) => {
  t.same(take(apiKeyFile, 'key\n'), 'key')
  t.same(take(apiKeyFile, 'key\r\n'), 'key')
  refuses(t, apiKeyFile, ['key\n\n', '', 'one\ntwo\n'])
})

t.test('apiKeysFile reads one key a line', async (t) => {
  t.same(take(apiKeysFile, 'one\r\n\ntwo,with,commas\none\n'), ['one', 'two,with,commas'])
  refuses(t, apiKeysFile, ['\n \n', '# my key\n'])
})

t.test('quotation marks around a key are no part of it', async (t) => {
  for (const text of ['"key"', "'key'", '`key`']) {
    t.same(take(apiKey, text), 'key', text)
    t.same(take(apiKeyFile, `${text}\n`), 'key', text)
    t.same(take(apiKeysFile, `a\n${text}\n`), ['a', 'key'], text)
  }
  t.same(take(apiKeys, '"a","b"'), ['a', 'b'])
  t.same(take(apiKeys, "'a, b'"), ['a', 'b'])
  t.same(take(apiKey, 's3"t'), 's3"t', 'inside it is one')
  refuses(t, apiKey, ['"s3', "s3'", '"', '""', '\u201Cs3\u201D', '"s3\''])
})

t.test('a key file that is not UTF-8 is told so; a byte-order mark is no key', async (t) => {
  t.same(take(apiKeyFile, '\uFEFFkey\r\n'), 'key')
  t.same(take(apiKeysFile, '\uFEFFone\ntwo'), ['one', 'two'])
  const latin = Buffer.from('s3cr\xe9t\n', 'latin1').toString()
  const wide = Buffer.from('\uFEFFs3cret\n', 'utf16le').toString()
  for (const [text, words] of [
    [latin, /file that is not UTF-8/],
    [wide, /file that is UTF-16/],
    ['s3cret\0', /file that holds a NUL/],
  ] as const) {
    for (const type of [apiKeyFile, apiKeysFile]) {
      t.match(said(type, text), words)
      t.notMatch(said(type, text), /s3/)
    }
  }
})

t.test('upstreamUrl takes /v1 and trailing slashes off and keeps a deeper path', async (t) => {
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
    t.same(take(upstreamUrl, text), url, text)
    t.same(take(upstreamUrl, url), url, `${url} stays itself`)
  }
})

t.test('upstreamUrl says what is wrong and never repeats the text', async (t) => {
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
    ['http://box:99999/s3cret', /cannot be read as a URL/],
    ['http://', /cannot be read as a URL/],
    ['http://a b:8001', /spaces/],
    ['http:\\\\box:8001', /backslashes/],
    ['http://box:8001\\s3cret', /backslashes/],
    ['http://box:8001//v1', /empty path segment/],
    ['http://box:8001/v1/v1', /\/v1\/v1/],
    ['http://box:8001/v1/chat/completions', /base URL only/],
  ]
  for (const [text, message] of cases) {
    t.match(said(upstreamUrl, text), message, text)
    t.notMatch(said(upstreamUrl, text), /s3cret|s3c|ret@/, `${text} is not repeated`)
  }
})

t.test('host takes addresses and names, and neither port nor scheme', async (t) => {
  t.same(take(host, '[::1]'), '::1')
  t.same(take(host, '0.0.0.0'), '0.0.0.0')
  t.same(take(host, 'Box.Example'), 'box.example')
  const wrong = ['127.0.0.1:8000', 'http://box', '*', '0', '127.1', '1.2.3.4.5', 'a b', '-a']
  refuses(t, host, wrong)
})
