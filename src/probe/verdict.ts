import {
  classifyEvent,
  engineError,
  judgeJson,
  namesLoading,
  namesNothingLoaded,
  tokensOf,
} from '../api/answer.ts'
import type { AnswerApi, EngineError, Fault } from '../api/api.ts'
import { probeApi, type ProbeKind, workOf } from '../api/index.ts'
import { EventSplitter, fieldsOf, isRagged, objectOf, StreamEnd, valueOf } from '../api/read.ts'
import type { EndRule, FailReason, ProbeOutcome } from '../core/health/evidence.ts'
import type { Quirks } from '../engines/quirks.ts'
import { endRuleOf } from '../core/health/facts.ts'
import { blamesNobody, transportFailure } from '../errors/transport.ts'
import type { Phase, WireAnswer } from './wire.ts'

/** What a verdict depends on besides the answer. */
export interface VerdictContext {
  readonly kind: ProbeKind
  readonly quirks: Quirks
  /** What ends its streams; absent: what its kind alone says. */
  readonly endRule?: EndRule | undefined
  /** From sending to the end of the answer. */
  readonly latencyMs: number
}

/** What a generation probe proved. Pure. */
export function verdict(answer: WireAnswer, context: VerdictContext): ProbeOutcome {
  if (answer.kind === 'broken') {
    // A status that is already a refusal says more than the cut behind it.
    return answer.status !== null && !isSuccess(answer.status)
      ? ofStatus(answer.status, undefined, context.quirks)
      : ofBreak(answer.code, answer.phase)
  }
  const { status, contentType, body } = answer
  if (!isSuccess(status)) {
    return ofStatus(status, valueOf(new TextDecoder().decode(body)), context.quirks)
  }
  const { kind, quirks } = context
  const auto = { streamEnd: 'auto', engine: quirks.kind } as const
  const endRule = context.endRule ?? endRuleOf(auto, { streamEnd: null })
  const judged = judgeBody({ kind, contentType, endRule }, body)
  switch (judged.kind) {
    case 'generated':
      if (workOf(kind) === 'embedding') return { kind: 'embeds', latencyMs: context.latencyMs }
      return { kind: 'pass', latencyMs: context.latencyMs, tokens: judged.tokens }
    case 'unfinished':
      return fail('truncated', 'no_end')
    case 'invalid': {
      const { said = null, why } = judged
      // The status that it should have had.
      if (said?.status != null) return ofStatus(said.status, { error: said.object }, quirks)
      return { ...fail('invalid_response', why), ...sentenceOf(said) }
    }
  }
}

/** What a status other than 2xx means; `body` is the parsed body, undefined when it is not JSON. */
export function ofStatus(status: number, body: unknown, quirks: Quirks): ProbeOutcome {
  const outcome = meaningOf(status, body, quirks)
  return outcome.kind === 'fail' ? { ...outcome, ...sentenceOf(engineError(body)) } : outcome
}

/** Read of a sentence, UTF-16 units; it is clipped once our key is out of it. */
const SAID_MAX = 2_000

/** What the engine says went wrong, on one line; nothing where it has no words. */
function sentenceOf(error: EngineError | null): { readonly said?: string } {
  const said = (error?.message ?? '').replaceAll(/[\s\p{Cc}]+/gu, ' ').trim()
  return said === '' ? {} : { said: said.slice(0, SAID_MAX) }
}

function meaningOf(status: number, body: unknown, quirks: Quirks): ProbeOutcome {
  const detail = `http_${status}`
  if (status < 500 && namesNothingLoaded(body)) return { kind: 'cold', loadsNothing: true }
  if (status === 409 && namesLoading(body)) return fail('loading', detail)
  if (quirks.isLoading(status, body)) return fail('loading', detail)
  if (quirks.isUnknownModel(status, body)) return fail('model_not_found', detail)
  if (quirks.isFailure(status, body)) return fail('http_5xx', detail)
  switch (status) {
    case 401:
    case 403:
      return fail('unauthorized', detail)
    case 404:
    case 405:
    case 501:
      return fail('wrong_kind', detail)
    case 408:
    case 429:
    case 503:
      return { kind: 'busy', detail }
    default:
      if (status >= 500) return fail('http_5xx', detail)
      return fail(status >= 400 ? 'bad_request' : 'invalid_response', detail)
  }
}

/** What a broken connection means, by the rule for traffic. */
export function ofBreak(code: string, phase: Phase): ProbeOutcome {
  const failure = transportFailure({ code })
  if (blamesNobody(failure)) return { kind: 'inconclusive', detail: code }
  if (failure === 'refused') return fail('refused', code)
  // An unexpected end inside a body is a cut, unless it is larger than any answer to a probe.
  const inside = phase === 'body' && code !== 'UND_ERR_RES_EXCEEDED_MAX_SIZE'
  if (failure === 'protocol' && !inside) return fail('invalid_response', code)
  return fail(phase === 'body' ? 'truncated' : 'unreachable', code)
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300
}

function fail(
  reason: FailReason,
  detail: string,
): Extract<ProbeOutcome, { readonly kind: 'fail' }> {
  return { kind: 'fail', reason, detail }
}

/** What a 2xx body proves. */
export type BodyVerdict =
  /** It generated; tokens as the engine counts them, 0 where it does not. */
  | { readonly kind: 'generated'; readonly tokens: number }
  /** A closed set of reasons, fit for a log: never a piece of the body. */
  | {
      readonly kind: 'invalid'
      readonly why:
        | 'empty_body'
        | 'not_json'
        | 'error_body'
        | 'no_choices'
        | 'no_data'
        | 'no_proof'
        | 'finish_abort'
        | 'finish_error'
      /** What the engine said itself; absent: nothing. */
      readonly said?: EngineError
    }
  /** A stream that stops before its end. */
  | { readonly kind: 'unfinished' }

/** How a 2xx answer is to be read. */
export interface BodyContext {
  readonly kind: ProbeKind
  readonly contentType: string
  /** What ends a stream of this engine. */
  readonly endRule: EndRule
}

/**
 * Judges a complete 2xx body by the rules that traffic is judged by. Beyond them a whole answer must
 * prove that it generated: by a proper end, content or a counted token. Text may be empty: one token can
 * be invisible (vLLM 0.32.0). 200 alone proves nothing: a vLLM that shuts down answers 200 with
 * `finish_reason:"abort"`. Pure.
 */
export function judgeBody(context: BodyContext, bytes: Uint8Array): BodyVerdict {
  const { kind, contentType } = context
  const { answers, probe } = probeApi(kind)
  const text = new TextDecoder().decode(bytes)
  const start = text.trimStart()
  const labelled = contentType.startsWith('text/event-stream') && !start.startsWith('{')
  // Some engines stream whatever was asked for.
  const isStream = labelled || /^(?:(?:data|event|error|id|retry):|:)/.test(start)
  if (isStream && start !== '') return judgeStream(answers, start, context.endRule)
  const judged = judgeJson(answers, bytes)
  if (judged !== null) return unfit(judged, probe.part)
  const body = objectOf(text) ?? {}
  const tokens = tokensOf(body)
  return tokens >= 1 || probe.proves(body) ? { kind: 'generated', tokens } : invalid('no_proof')
}

function unfit({ why, message, said }: Fault, part: 'choices' | 'data'): BodyVerdict {
  switch (why) {
    case 'empty':
      return invalid('empty_body')
    case 'not_json':
      return invalid('not_json')
    case 'no_choices':
      return invalid(`no_${part}`)
    case 'abort':
      return improperEnd(message)
    case 'error':
      return said === null ? invalid('error_body') : { kind: 'invalid', why: 'error_body', said }
  }
}

function judgeStream(api: AnswerApi, text: string, endRule: EndRule): BodyVerdict {
  const end = new StreamEnd(api, endRule)
  const splitter = new EventSplitter()
  let tokens = 0
  let isJson = false
  let isGarbage = false
  let ragged = false
  const events = splitter.push(Buffer.from(text))
  const rest = splitter.tail()
  for (const event of [...events, rest]) {
    // What follows the end of an answer does not belong to it, not even an error.
    if (end.complete) break
    const judged = classifyEvent(api, event)
    if (judged.kind === 'error') {
      if (judged.said === null) return improperEnd(judged.message)
      return { kind: 'invalid', why: 'error_body', said: judged.said }
    }
    end.note(judged)
    if (end.broken) break
    const { data } = fieldsOf(event.toString())
    const body = objectOf(data)
    if (body !== null) isJson = true
    else if (data !== '' && judged.kind !== 'done') isGarbage = true
    tokens = Math.max(tokens, body === null ? 0 : tokensOf(body))
    ragged = event === rest && isRagged(event, judged)
  }
  if (end.proper && !ragged) return { kind: 'generated', tokens }
  return isGarbage && !isJson ? invalid('not_json') : { kind: 'unfinished' }
}

function improperEnd(reason: string): BodyVerdict {
  return invalid(reason.endsWith('abort') ? 'finish_abort' : 'finish_error')
}

function invalid(why: Extract<BodyVerdict, { kind: 'invalid' }>['why']): BodyVerdict {
  return { kind: 'invalid', why }
}
