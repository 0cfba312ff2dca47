import * as fc from 'fast-check'
import t from 'tap'
import { errorWordsOf } from '../../src/api/index.ts'
import { errorAnswer, plainAnswer } from '../../src/errors/answer.ts'
import { mayRetry } from '../../src/errors/body.ts'
import { type ErrorCode, ERRORS } from '../../src/errors/catalogue.ts'
import { holds } from '../support/property.ts'

// Rows of docs/bad-input.md that are shown here: errors-of-messages.

const codes = Object.keys(ERRORS) as ErrorCode[]

t.test('errorAnswer() tells every client whether and when to try again', async (t) => {
  for (const code of codes) {
    const { status, headers, body } = errorAnswer(code, { requestId: 'r1', retryAfterMs: 2_500 })
    t.equal(status, ERRORS[code].status)
    t.equal(headers['x-request-id'], 'r1')
    t.equal(headers['content-length'], String(Buffer.byteLength(body)))
    t.equal(headers['x-content-type-options'], 'nosniff')
    t.equal(headers['cross-origin-resource-policy'], 'same-origin')
    if (mayRetry(code)) {
      t.equal(headers['retry-after'], '3', 'whole seconds, rounded up')
      t.equal(headers['retry-after-ms'], '2500')
      t.notOk('x-should-retry' in headers)
    } else {
      t.equal(headers['x-should-retry'], 'false', code)
      t.notOk('retry-after' in headers)
    }
  }
})

t.test('errorAnswer() keeps Retry-After within 1 to 60 s whatever it is given', async (t) => {
  holds(
    t,
    'in range',
    fc.property(fc.double(), (retryAfterMs) => {
      const { headers } = errorAnswer('no_eligible_upstream', { requestId: 'r', retryAfterMs })
      const seconds = Number(headers['retry-after'])
      const ms = Number(headers['retry-after-ms'])
      return Number.isInteger(seconds) && seconds >= 1 && seconds <= 60 && ms <= seconds * 1_000
    }),
  )
})

t.test('errorAnswer() appends and escapes the detail, and takes extra headers', async (t) => {
  const answer = errorAnswer('method_not_allowed', {
    requestId: 'r',
    detail: 'evil\n\u001B[31m',
    param: 'model',
    headers: { allow: 'GET, HEAD' },
  })
  t.equal(answer.headers['allow'], 'GET, HEAD')
  t.equal(answer.code, 'method_not_allowed')
  t.strictSame(JSON.parse(answer.body), {
    error: {
      message: 'This method is not allowed here. evil\uFFFD\uFFFD[31m',
      type: 'invalid_request_error',
      param: 'model',
      code: 'method_not_allowed',
    },
  })
  t.equal(errorAnswer('invalid_api_key', { requestId: 'r' }).headers['www-authenticate'], 'Bearer')
})

t.test("errorAnswer() speaks to Anthropic's clients in their shape", async (t) => {
  const about = { requestId: 'r1', detail: 'why', param: 'model' }
  for (const path of ['/v1/messages', '/v1/messages/count_tokens']) {
    const { body, headers } = errorAnswer('model_not_found', {
      ...about,
      words: errorWordsOf(path),
    })
    t.strictSame(JSON.parse(body), {
      type: 'error',
      error: {
        type: 'not_found_error',
        message: `${ERRORS.model_not_found.message} why`,
        param: 'model',
        code: 'model_not_found',
      },
      request_id: 'r1',
    })
    t.equal(headers['x-should-retry'], 'false')
  }
  for (const path of ['/v1/messagesx', '/v1/chat/completions', '-']) {
    t.notOk(
      'type' in
        JSON.parse(errorAnswer('model_not_found', { ...about, words: errorWordsOf(path) }).body),
      path,
    )
  }
  const types = codes.map((code) => {
    const { body } = errorAnswer(code, { requestId: 'r', words: errorWordsOf('/v1/messages') })
    return [code, (JSON.parse(body) as { error: { type: string } }).error.type]
  })
  t.match(Object.fromEntries(types), {
    no_eligible_upstream: 'overloaded_error',
    request_too_large: 'request_too_large',
    invalid_api_key: 'authentication_error',
    origin_not_allowed: 'permission_error',
    invalid_json: 'invalid_request_error',
    upstream_truncated: 'api_error',
  })
})

t.test('plainAnswer() counts bytes, not characters', async (t) => {
  const answer = plainAnswer(200, { type: 'text/plain; charset=utf-8', body: 'äö' }, 'r')
  t.equal(answer.headers['content-length'], '4')
  t.equal(answer.code, null)
})
