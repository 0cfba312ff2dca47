import { engineError, type EngineError } from '../api/engine-error.ts'
import { fieldsOf, isObject, listOf, objectOf, valueOf } from '../api/read.ts'
import { CHOICE_TABLES, finishOf, isContent } from '../api/tables.ts'
import type { EndRule } from '../core/health/evidence.ts'
import { StreamEnd } from '../api/stream-end.ts'
import { classifyEvent } from '../api/answer.ts'
import type { ProbeKind } from '../engines/quirks.ts'

export { valueOf as parseJson } from '../api/read.ts'

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
 * Judges a complete 2xx body by the rules that traffic is judged by: content, a proper end or a
 * counted token prove a generation. Text may be empty: one token can be invisible (vLLM 0.32.0). 200
 * alone proves nothing: a vLLM that shuts down answers 200 with `finish_reason:"abort"`. Pure.
 */
export function judgeBody(context: BodyContext, bytes: Uint8Array): BodyVerdict {
  const { kind, contentType } = context
  const text = new TextDecoder().decode(bytes).trim()
  if (text === '') return invalid('empty_body')
  const labelled = contentType.startsWith('text/event-stream') && !text.startsWith('{')
  const isStream = labelled || /^(?:(?:data|event|error|id|retry):|:)/.test(text)
  if (isStream && kind !== 'embeddings') return judgeStream(kind, text, context.endRule)
  const body = valueOf(text)
  if (!isObject(body)) return invalid('not_json')
  const said = engineError(body)
  if (said !== null) return { kind: 'invalid', why: 'error_body', said }
  if (kind === 'embeddings') {
    return listOf(body['data']).length > 0 ? { kind: 'generated', tokens: 0 } : invalid('no_data')
  }
  return judgeChoices(kind, body)
}

function judgeChoices(kind: ChatKind, body: Readonly<Record<string, unknown>>): BodyVerdict {
  const choices = listOf(body['choices'])
  if (choices.length === 0) return invalid('no_choices')
  const error = choices.find((choice) => isObject(choice['error']))
  const said = engineError(error)
  if (said !== null) return { kind: 'invalid', why: 'error_body', said }
  const reasons = choices.map((choice) => choice['finish_reason'])
  const improper = reasons.find((reason) => finishOf(reason) === 'improper')
  if (improper !== undefined) return improperEnd(improper)
  const tokens = tokensOf(body)
  const { delta, members } = CHOICE_TABLES[kind]
  const proven =
    tokens >= 1 ||
    reasons.some((reason) => finishOf(reason) === 'proper') ||
    choices.some((choice) => {
      const part = delta === null ? choice : choice['message']
      return isObject(part) && isContent(members, part)
    })
  return proven ? { kind: 'generated', tokens } : invalid('no_proof')
}

type ChatKind = Exclude<ProbeKind, 'embeddings'>

/** Some engines stream whatever was asked for. */
function judgeStream(kind: ChatKind, text: string, endRule: EndRule): BodyVerdict {
  const end = new StreamEnd(endRule)
  const encoder = new TextEncoder()
  let tokens = 0
  let isJson = false
  let isGarbage = false
  for (const event of text.split(/(?:\r\n|\r|\n){2,}/)) {
    const verdict = classifyEvent(kind, encoder.encode(event))
    if (verdict.kind === 'error') {
      if (verdict.said === null) return improperEnd(verdict.message)
      return { kind: 'invalid', why: 'error_body', said: verdict.said }
    }
    end.note(verdict)
    const { data } = fieldsOf(event)
    const body = objectOf(data)
    if (body !== null) isJson = true
    else if (data !== '' && verdict.kind !== 'done') isGarbage = true
    tokens = Math.max(tokens, body === null ? 0 : tokensOf(body))
  }
  if (end.proper) return { kind: 'generated', tokens }
  return isGarbage && !isJson ? invalid('not_json') : { kind: 'unfinished' }
}

function improperEnd(reason: unknown): BodyVerdict {
  return invalid(String(reason).endsWith('abort') ? 'finish_abort' : 'finish_error')
}

function invalid(why: Extract<BodyVerdict, { kind: 'invalid' }>['why']): BodyVerdict {
  return { kind: 'invalid', why }
}

function tokensOf(body: Readonly<Record<string, unknown>>): number {
  const usage = body['usage']
  const tokens = isObject(usage) ? usage['completion_tokens'] : undefined
  return typeof tokens === 'number' && Number.isFinite(tokens) ? Math.max(0, tokens) : 0
}
