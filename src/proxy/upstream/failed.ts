import type { AnswerHead, EndCode, Failed, HeldAnswer } from '../../core/exchange/exchange.ts'
import { namesLoading, namesNothingLoaded } from '../../api/answer.ts'
import { objectOf } from '../../api/read.ts'
import { mayRefuseUs, type StatusAction, statusAction } from '../../core/exchange/ending.ts'
import { toOpenAiBody } from '../../errors/body.ts'
import type { Mistake } from '../../api/frame.ts'
import {
  blamesNobody,
  CODE_OF_TRANSPORT,
  codeOf,
  transportFailure,
} from '../../errors/transport.ts'

/** The head with one `Content-Type`: sent twice with the same value it counts once. Null: they differ, and
 *  nobody can tell what the body is. Pure. */
export function withOneType(head: AnswerHead, given: readonly unknown[]): AnswerHead | null {
  const [first = '', ...others] = given.map((value) => String(value).trim())
  const differs = others.some((other) => other.toLowerCase() !== first.toLowerCase())
  return differs ? null : withType(head, first)
}

/** The head with another content type. Pure. */
export function withType(head: AnswerHead, type: string): AnswerHead {
  return { ...head, headers: { ...head.headers, 'content-type': type } }
}

/**
 * How a status that is not judged by its content ends an attempt; null: it is passed on. `key`: the
 * gate's own, as it is sent; null: none. Pure.
 */
export function failedByStatus(
  action: StatusAction,
  answer: HeldAnswer,
  key: string | null = null,
): Failed | null {
  const detail = `It answered ${answer.status}.`
  const base = { kind: 'failed', detail, sent: true } as const
  switch (action) {
    case 'judge':
      return null
    case 'pass':
      return failedByWords(answer, key)
    case 'busy':
      return { ...base, why: 'busy', code: 'upstream_error', answer }
    case 'suspect':
      // A status that HTTP does not know is not to be passed on.
      if (answer.status > 599) {
        return { ...base, why: 'http_5xx', code: 'upstream_protocol_error', answer: null }
      }
      return { ...base, why: 'http_5xx', code: 'upstream_error', answer }
    case 'misconfigured': {
      // No word of a model: this engine lacks the route, which is the client's to know.
      if (!/model/i.test(answer.body.toString('latin1'))) return null
      const failed = failedByWords(answer, key)
      if (failed !== null) return failed
      // Its words are about our name for the model: no business of the client's.
      return { ...base, why: 'model_not_found', code: 'upstream_misconfigured', answer: null }
    }
  }
}

/** What would be the client's own mistake, were it not for the words of it; null: it is. */
function failedByWords(answer: HeldAnswer, key: string | null): Failed | null {
  const { status, body } = answer
  const base = { kind: 'failed', detail: `It answered ${status}.`, answer } as const
  // It repeats our key: these words are about us, and not for the client to read.
  if (mayRefuseUs(status) && key !== null && body.includes(key.replace(/^Bearer /, ''))) {
    return {
      ...base,
      why: 'unauthorized',
      code: 'upstream_misconfigured',
      sent: true,
      answer: null,
    }
  }
  if (status !== 400 && status !== 404 && status !== 409) return null
  const said = objectOf(body.toString('utf8'))
  if (said === null) return null
  // Nothing was generated, so it is not one of the two that a request may fail at.
  if (status !== 409 && namesNothingLoaded(said)) {
    return { ...base, why: 'model_not_loaded', code: 'upstream_error', sent: false }
  }
  if (status !== 409 || !namesLoading(said)) return null
  return { ...base, why: 'busy', code: 'upstream_error', sent: true }
}

/** The answer that an engine should have given, which began with 200 and then told a mistake of the
 *  client's before any content. Pure. */
export function answerOfMistake(head: AnswerHead, { status, body }: Mistake): HeldAnswer {
  const {
    'content-type': _type,
    'content-length': _length,
    'content-encoding': _encoding,
    ...rest
  } = head.headers
  const headers = {
    ...rest,
    'content-type': 'application/json',
    // The same request would be at fault again, unless it only came too soon.
    ...(statusAction(status, { mapped: false }) === 'busy' ? {} : { 'x-should-retry': 'false' }),
  }
  return { status, headers, body }
}

/** A failure whose answer never came whole. That an engine is full, and when to come back, its head has
 *  said. Pure. */
export function withoutBody(failed: Failed, head: AnswerHead): Failed {
  if (failed.why !== 'busy') return { ...failed, answer: null }
  const body = Buffer.from(JSON.stringify(toOpenAiBody(failed.code, failed.detail)))
  return { ...failed, answer: answerOfMistake(head, { status: head.status, body }) }
}

/** An answer without content, before anything of it reached the client. Pure. */
export function failedByContent(code: EndCode, detail: string): Failed {
  const why =
    code === 'upstream_truncated'
      ? 'truncated'
      : code === 'upstream_error'
        ? 'error_body'
        : 'invalid_response'
  return { kind: 'failed', why, code, detail, sent: true, answer: null }
}

/** Our own code failed on an answer: next upstream, and nothing against this one. */
export const UNREAD: Failed = {
  ...failedByContent(
    'upstream_protocol_error',
    'The gate failed to read its answer; this is a bug in gengate.',
  ),
  why: 'ours',
}

/** A connection that broke, or never was, before any answer. Pure. */
export function failedByTransport(error: unknown): Failed {
  const failure = transportFailure(error)
  return {
    kind: 'failed',
    why: blamesNobody(failure) ? 'ours' : failure === 'protocol' ? 'invalid_response' : failure,
    code: CODE_OF_TRANSPORT[failure],
    detail: `(${codeOf(error) || 'connection lost'})`,
    sent: failure === 'reset' || failure === 'protocol',
    answer: null,
  }
}
