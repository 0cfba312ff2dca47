import t from 'tap'
import {
  parseEmbedded,
  parseHostNames,
  parseModels,
  parseOrigins,
  parseUpstreamFlag,
  parseUpstreams,
} from '../../src/config/lists.ts'
import type { Parsed } from '../../src/config/parsed.ts'

function said(parsed: Parsed<unknown>): string {
  return parsed.ok ? 'ok' : parsed.messages.join('\n')
}

t.test('parseUpstreams() reads name and name=url in order', async (t) => {
  t.same(parseUpstreams(' a , b2_c=http://box:1/v1,'), {
    ok: true,
    value: [
      { name: 'a', url: null },
      { name: 'b2_c', url: 'http://box:1' },
    ],
  })
  t.match(said(parseUpstreams(',')), /no upstream/)
  t.match(said(parseUpstreams('http://box:1')), /without a name/)
  t.match(said(parseUpstreams('Vllm,2nd,a-b,=x')), /"Vllm"[^]*"2nd"[^]*"a-b"[^]*""/, 'all of them')
})

t.test('parseUpstreams() never repeats what may be a password', async (t) => {
  for (const text of [
    'a=http://u:s3cret@box:1',
    'u:s3cret@box',
    'a=s3cret',
    'http://u:s3cret@b:1',
  ]) {
    t.equal(parseUpstreams(text).ok, false, text)
    t.notMatch(said(parseUpstreams(text)), /s3cret/, text)
    t.notMatch(said(parseUpstreamFlag(text)), /s3cret/, text)
  }
})

t.test('parseUpstreamFlag() also takes a bare URL', async (t) => {
  t.same(parseUpstreamFlag('http://box:1/v1'), {
    ok: true,
    value: { name: null, url: 'http://box:1' },
  })
  t.same(parseUpstreamFlag('a=http://box:1'), {
    ok: true,
    value: { name: 'a', url: 'http://box:1' },
  })
  t.same(parseUpstreamFlag('ollama'), { ok: true, value: { name: 'ollama', url: null } })
  t.match(said(parseUpstreamFlag('file:///x')), /http:\/\/ or https/)
  t.match(said(parseUpstreamFlag('127.0.0.1:1')), /no name/)
})

t.test('parseModels() splits a member at its first colon', async (t) => {
  t.same(parseModels('chat=vllm:Qwen/Qwen2.5|ollama:qwen2.5:3b ; x:y = b:m=n;'), {
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

t.test('parseModels() says which group is wrong, every one of them', async (t) => {
  for (const text of ['chat', 'chat=', '=a:b', 'chat=a', 'chat=a:', 'chat=:b', 'chat=a:b|c']) {
    t.match(said(parseModels(text)), /write public=upstream:model/, text)
  }
  t.match(said(parseModels(' ; ')), /no group/)
  t.match(said(parseModels('a=x:1;a=x:2')), /already taken/)
  t.match(said(parseModels('a=x:1|x:1')), /twice/)
  t.match(said(parseModels(`a=x:${'m'.repeat(257)}`)), /at most 256/)
  t.match(said(parseModels('a;b;c=x:1')), /"a"[^]*"b"/)
})

t.test('parseEmbedded() tells a path from a word', async (t) => {
  t.same(parseEmbedded('auto'), { ok: true, value: { mode: 'auto' } })
  t.same(parseEmbedded('off'), { ok: true, value: { mode: 'off' } })
  for (const path of ['/m/a.gguf', './m', 'a.GGUF']) {
    t.same(parseEmbedded(path), { ok: true, value: { mode: 'path', path } })
  }
  for (const word of ['on', 'true', '1', 'no']) t.equal(parseEmbedded(word).ok, false, word)
})

t.test('parseHostNames() takes names without port and wildcard', async (t) => {
  t.same(parseHostNames('Gate.Lan., my_gate,gate.lan'), {
    ok: true,
    value: ['gate.lan', 'my_gate'],
  })
  t.match(said(parseHostNames('a:1,*.lan,http://x')), /"a:1"[^]*"\*.lan"[^]*"http:\/\/x"/)
})

t.test('parseOrigins() takes origins as browsers send them', async (t) => {
  t.same(
    parseOrigins('HTTP://Localhost:3000/,https://a.b:443,chrome-extension://abc,app://x,NULL'),
    {
      ok: true,
      value: ['http://localhost:3000', 'https://a.b', 'chrome-extension://abc', 'app://x', 'null'],
    },
  )
  for (const text of ['*', 'a.b', 'http://a/b', 'http://*.a', 'http://a:99999', 'http://u@a']) {
    t.equal(parseOrigins(text).ok, false, text)
  }
})
