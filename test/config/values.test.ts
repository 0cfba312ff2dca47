import t from 'tap'
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

t.test('upstreamList reads name and name=url in order', async (t) => {
  t.same(readAs(upstreamList, ' a , b2_c=http://box:1/v1,'), {
    ok: true,
    value: [
      { name: 'a', url: null },
      { name: 'b2_c', url: 'http://box:1' },
    ],
  })
  t.match(said(upstreamList, ','), /no upstream/)
  t.match(said(upstreamList, 'http://box:1'), /without a name/)
  t.match(said(upstreamList, 'Vllm,2nd,a-b,=x'), /"Vllm"[^]*"2nd"[^]*"a-b"[^]*""/, 'all of them')
})

t.test('upstreamList never repeats what may be a password', async (t) => {
  for (const text of [
    'a=http://u:s3cret@box:1',
    'u:s3cret@box',
    'a=s3cret',
    'http://u:s3cret@b:1',
  ]) {
    t.equal(readAs(upstreamList, text).ok, false, text)
    t.notMatch(said(upstreamList, text), /s3cret/, text)
    t.notMatch(said(upstreamFlag, text), /s3cret/, text)
  }
})

t.test('upstreamFlag also takes a bare URL', async (t) => {
  t.same(readAs(upstreamFlag, 'http://box:1/v1'), {
    ok: true,
    value: { name: null, url: 'http://box:1' },
  })
  t.same(readAs(upstreamFlag, 'a=http://box:1'), {
    ok: true,
    value: { name: 'a', url: 'http://box:1' },
  })
  t.same(readAs(upstreamFlag, 'ollama'), { ok: true, value: { name: 'ollama', url: null } })
  t.match(said(upstreamFlag, 'file:///x'), /http:\/\/ or https/)
  t.match(said(upstreamFlag, '127.0.0.1:1'), /cannot be a name/)
})

t.test('modelGroups splits a member at its first colon', async (t) => {
  t.same(readAs(modelGroups, 'chat=vllm:Qwen/Qwen2.5|ollama:qwen2.5:3b ; x:y = b:m=n;'), {
    ok: true,
    value: [
      {
        public: 'chat',
        members: [
          { upstream: 'vllm', model: 'Qwen/Qwen2.5' },
          { upstream: 'ollama', model: 'qwen2.5:3b' },
        ],
      },
      { public: 'x:y', members: [{ upstream: 'b', model: 'm=n' }] },
    ],
  })
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
  t.same(readAs(embedded, 'auto'), { ok: true, value: { mode: 'auto' } })
  t.same(readAs(embedded, 'off'), { ok: true, value: { mode: 'off' } })
  for (const path of ['/m/a.gguf', './m', 'a.GGUF']) {
    t.same(readAs(embedded, path), { ok: true, value: { mode: 'path', path } })
  }
  for (const word of ['on', 'true', '1', 'no']) t.equal(readAs(embedded, word).ok, false, word)
})

t.test('hostNames takes names without port and wildcard', async (t) => {
  t.same(readAs(hostNames, 'Gate.Lan., my_gate,gate.lan'), {
    ok: true,
    value: ['gate.lan', 'my_gate'],
  })
  t.match(said(hostNames, 'a:1,*.lan,http://x'), /"a:1"[^]*"\*.lan"[^]*"http:\/\/x"/)
})

t.test('origins takes origins as browsers send them', async (t) => {
  t.same(
    readAs(origins, 'HTTP://Localhost:3000/,https://a.b:443,chrome-extension://abc,app://x,NULL'),
    {
      ok: true,
      value: ['http://localhost:3000', 'https://a.b', 'chrome-extension://abc', 'app://x', 'null'],
    },
  )
  for (const text of ['*', 'a.b', 'http://a/b', 'http://*.a', 'http://a:99999', 'http://u@a']) {
    t.equal(readAs(origins, text).ok, false, text)
  }
})

t.test('apiKey refuses what a header cannot carry, without repeating it', async (t) => {
  t.same(readAs(apiKey, 'sk-1_2.3'), { ok: true, value: 'sk-1_2.3' })
  for (const key of [
    '',
    '  ',
    's3cret\r',
    's3cret\nX: y',
    's3cret\0',
    's3 cret',
    's3crét',
    '(set)',
  ]) {
    const parsed = readAs(apiKey, key)
    t.equal(parsed.ok, false, JSON.stringify(key))
    t.notMatch(parsed.ok ? '' : parsed.messages.join(), /s3/)
  }
})

t.test('apiKeys splits at commas and refuses an empty entry', async (t) => {
  t.same(readAs(apiKeys, 'a, b ,a'), { ok: true, value: ['a', 'b'] })
  for (const list of ['a,,b', 'a,', ',', 'a,b\n', 'a,\tb\n']) {
    t.equal(readAs(apiKeys, list).ok, false, JSON.stringify(list))
  }
})

t.test('apiKeyFile takes one line break off the end, and no more', async (t) => {
  t.same(readAs(apiKeyFile, 'key\n'), { ok: true, value: 'key' })
  t.same(readAs(apiKeyFile, 'key\r\n'), { ok: true, value: 'key' })
  t.equal(readAs(apiKeyFile, 'key\n\n').ok, false)
  t.equal(readAs(apiKeyFile, '').ok, false)
  t.equal(readAs(apiKeyFile, 'one\ntwo\n').ok, false)
})

t.test('apiKeysFile reads one key a line', async (t) => {
  t.same(readAs(apiKeysFile, 'one\r\n\ntwo,with,commas\none\n'), {
    ok: true,
    value: ['one', 'two,with,commas'],
  })
  t.equal(readAs(apiKeysFile, '\n \n').ok, false)
  t.equal(readAs(apiKeysFile, '# my key\n').ok, false)
})

t.test('quotation marks around a key are no part of it', async (t) => {
  for (const text of ['"key"', "'key'", '`key`']) {
    t.same(readAs(apiKey, text), { ok: true, value: 'key' }, text)
    t.same(readAs(apiKeyFile, `${text}\n`), { ok: true, value: 'key' }, text)
    t.same(readAs(apiKeysFile, `a\n${text}\n`), { ok: true, value: ['a', 'key'] }, text)
  }
  t.same(readAs(apiKeys, '"a","b"'), { ok: true, value: ['a', 'b'] })
  t.same(readAs(apiKeys, "'a, b'"), { ok: true, value: ['a', 'b'] })
  t.same(readAs(apiKey, 's3"t'), { ok: true, value: 's3"t' }, 'inside it is one')
  for (const text of ['"s3', "s3'", '"', '""', '\u201Cs3\u201D', '"s3\'']) {
    const parsed = readAs(apiKey, text)
    t.equal(parsed.ok, false, text)
    t.notMatch(parsed.ok ? '' : parsed.messages.join(), /s3/)
  }
})

t.test('a key file that is not UTF-8 is told so; a byte-order mark is no key', async (t) => {
  t.same(readAs(apiKeyFile, '\uFEFFkey\r\n'), { ok: true, value: 'key' })
  t.same(readAs(apiKeysFile, '\uFEFFone\ntwo'), { ok: true, value: ['one', 'two'] })
  const latin = Buffer.from('s3cr\xe9t\n', 'latin1').toString()
  const wide = Buffer.from('\uFEFFs3cret\n', 'utf16le').toString()
  for (const [text, words] of [
    [latin, /file that is not UTF-8/],
    [wide, /file that is UTF-16/],
    ['s3cret\0', /file that holds a NUL/],
  ] as const) {
    for (const type of [apiKeyFile, apiKeysFile]) {
      const parsed = readAs<unknown>(type, text)
      t.match(parsed, { ok: false, messages: [words] })
      t.notMatch(JSON.stringify(parsed), /s3/)
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
    t.same(readAs(upstreamUrl, text), { ok: true, value: url }, text)
    t.same(readAs(upstreamUrl, url), { ok: true, value: url }, `${url} stays itself`)
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
    const parsed = readAs(upstreamUrl, text)
    const said = parsed.ok ? parsed.value : parsed.messages.join('\n')
    t.equal(parsed.ok, false, text)
    t.match(said, message, text)
    t.notMatch(said, /s3cret|s3c|ret@/, `${text} is not repeated`)
  }
})

t.test('host takes addresses and names, and neither port nor scheme', async (t) => {
  t.same(readAs(host, '[::1]'), { ok: true, value: '::1' })
  t.same(readAs(host, '0.0.0.0'), { ok: true, value: '0.0.0.0' })
  t.same(readAs(host, 'Box.Example'), { ok: true, value: 'box.example' })
  for (const text of [
    '127.0.0.1:8000',
    'http://box',
    '*',
    '0',
    '127.1',
    '1.2.3.4.5',
    'a b',
    '-a',
  ]) {
    t.equal(readAs(host, text).ok, false, text)
  }
})
