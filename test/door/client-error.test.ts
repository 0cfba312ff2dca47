import t from 'tap'
import { codeOf, parse, raw, start } from './start-server.ts'

t.test('bytes that are no request get our error and a closed connection', async (t) => {
  const { port, events } = await start(t)
  const cases: [string, number, string][] = [
    ['nonsense\r\n\r\n', 400, 'bad_framing'],
    ['GET /livez HTTP/1.1\r\nhost : a\r\n\r\n', 400, 'bad_framing'],
    ['GET /livez HTTP/1.1\r\nhost: a\r\nx: a\u0000b\r\n\r\n', 400, 'bad_framing'],
    ['GET /livez HTTP/1.1\r\n\r\n', 400, 'bad_framing'],
    [
      'POST /v1/x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'bad_framing',
    ],
    ['POST /v1/x HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc', 400, 'bad_framing'],
    [
      `GET /livez HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    [
      `GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${'a: b\r\n'.repeat(300)}\r\n`,
      431,
      'headers_too_large',
    ],
    ['CONNECT evil:443 HTTP/1.1\r\nhost: a\r\n\r\n', 405, 'method_not_allowed'],
    [
      'POST /v1/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: teapot\r\ncontent-length: 2\r\n\r\n{}',
      417,
      'expectation_failed',
    ],
  ]
  for (const [bytes, status, code] of cases) {
    const name = JSON.stringify(bytes.slice(0, 60))
    const got = parse(
      await raw(
        port,
        bytes.includes('host: a\r\n') || bytes.includes('\u0000')
          ? bytes
          : bytes.replace('HTTP/1.1\r\n\r\n', 'HTTP/1.1\r\nconnection: close\r\n\r\n'),
      ),
    )
    t.equal(got.status, status, name)
    t.equal(codeOf(got), code, name)
    t.match(got.headers['x-request-id'], /^[0-9a-f-]{36}$/, name)
    t.match(events.at(-1), { type: 'refused', code }, name)
  }
})

t.test('garbage after a request waits for its answer, and never corrupts it', async (t) => {
  let finish: (() => void) | undefined
  const { port } = await start(t, {
    proxy: (_request, response) => {
      response.writeHead(200, { 'content-length': '10' })
      response.write('12345')
      finish = () => response.end('67890')
    },
  })
  const answer = raw(
    port,
    'POST /v1/x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}garbage\r\n\r\nmore\r\n\r\n',
  )
  await new Promise((resolve) => setTimeout(resolve, 50))
  finish?.()
  const text = await answer
  t.match(text, /1234567890HTTP\/1\.1 400 /)
  t.equal(text.split('HTTP/1.1 400').length, 2, 'once')
})

t.test('a body with broken chunks is refused at once, not waited for', async (t) => {
  const { port } = await start(t, { proxy: (request) => void request.resume() })
  const got = parse(
    await raw(
      port,
      'POST /v1/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n',
    ),
  )
  t.equal(got.status, 400)
  t.equal(codeOf(got), 'bad_framing')
})
