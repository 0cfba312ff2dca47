import { classifyEvent, judgeJson, tokensOf } from '../api/answer.ts'
import type { AnswerApi, JsonVerdict } from '../api/api.ts'
import type { EngineError } from '../api/engine-error.ts'
import { probeApi, type ProbeKind } from '../api/index.ts'
import { EventSplitter, fieldsOf, objectOf } from '../api/read.ts'
import { isRagged, StreamEnd } from '../api/stream-end.ts'
import type { EndRule } from '../core/health/evidence.ts'

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
  const verdict = judgeJson(answers, bytes)
  if (!verdict.ok) return unfit(verdict, probe.part)
  const body = objectOf(text) ?? {}
  const tokens = tokensOf(body)
  return tokens >= 1 || probe.proves(body) ? { kind: 'generated', tokens } : invalid('no_proof')
}

function unfit(
  { why, message, said }: Extract<JsonVerdict, { ok: false }>,
  part: 'choices' | 'data',
): BodyVerdict {
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
    const verdict = classifyEvent(api, event)
    if (verdict.kind === 'error') {
      if (verdict.said === null) return improperEnd(verdict.message)
      return { kind: 'invalid', why: 'error_body', said: verdict.said }
    }
    end.note(verdict)
    if (end.broken) break
    const { data } = fieldsOf(event.toString())
    const body = objectOf(data)
    if (body !== null) isJson = true
    else if (data !== '' && verdict.kind !== 'done') isGarbage = true
    tokens = Math.max(tokens, body === null ? 0 : tokensOf(body))
    ragged = event === rest && isRagged(event, verdict)
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
