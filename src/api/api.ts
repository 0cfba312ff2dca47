import type { Work } from '../core/model/model-choice.ts'
import type { ErrorWords } from '../errors/body.ts'
import type { ErrorCode } from '../errors/catalogue.ts'

/** One API, or a family of them that differ in nothing but their routes. */
export interface Api {
  readonly routes: readonly Route[]
  /** `buffered`: read whole before anything is sent, so that it can be sent again. `by_type`: JSON is
   *  read whole, a form up to its model, and anything else goes on as it comes. `upgraded`: a socket,
   *  and no request that is forwarded. */
  readonly body: 'buffered' | 'by_type' | 'upgraded'
  /** May the request be sent to a second upstream? */
  readonly replay: boolean
  /** How its answers read; absent: nobody judges them. */
  readonly answers?: AnswerApi
  /** How it is probed; absent: it is not. */
  readonly probe?: Probe
}

/** Paths that mean the same, and that an engine has or lacks together. */
export interface Route {
  readonly name: string
  readonly paths: readonly string[]
  /** What an answer proves; null: nothing of a model's work. */
  readonly work: Work | null
  /** Does it mean something by other methods, too? Absent: a `POST` alone does. */
  readonly anyMethod?: true
}

/** How the answers of one API read, and how the gate writes into them (docs/decisions/0020). Made once,
 *  asked for each event. */
export interface AnswerApi {
  /** What an event is that is neither an error by its shape nor `[DONE]`. Pure. */
  readonly ofEvent: (event: ReadEvent) => EventVerdict
  /** What is wrong with a whole answer whose shape is not that of an error; null: nothing. Pure. */
  readonly ofWhole: (body: JsonObject) => Fault | null
  /** May a whole answer be a bare list? */
  readonly listed?: true
  /** What the cheap look at an event goes by; null: nothing is plain there. */
  readonly screen: Screen | null
  /** Of an event too large to be held: containers inside of which something is kept. */
  readonly depthMax: number
  readonly streamEnd: StreamForm
  readonly errors: ErrorForm
  /** Makes a whole answer the events that a client asked for; null if it cannot be. Absent: nobody
   *  knows how they would look. `usage`: did the client ask for it? Pure. */
  readonly asEvents?: ((body: Uint8Array, usage: boolean) => Buffer | null) | undefined
  /** The id of an answer that later requests refer to: the keys that lead to it in a whole answer and in
   *  an event; absent: none is worth remembering. */
  readonly id?: { readonly whole: 'id'; readonly event: 'response.id' }
  /** May an answer be bytes, in which there is nothing to judge? */
  readonly bytes?: true
}

/** How a stream ends. `by_upstream`: as the upstream's streams do (`EndRule`), then by `[DONE]`.
 *  `by_name`: its events name an end, and one that says `[DONE]` or its like follows. `at_end`: nothing
 *  follows the end. */
export type StreamForm = 'by_upstream' | 'by_name' | 'at_end'

/** A parsed JSON object of which nothing is known yet. */
export type JsonObject = Record<string, unknown>

/** What one event says. */
export interface EventFields {
  readonly name: string
  readonly data: string
}

/** An event, read. */
export interface ReadEvent extends EventFields {
  /** The object in its data; null: there is none. */
  readonly body: JsonObject | null
}

/** How clients of an API read errors. */
export interface ErrorForm {
  /** The error object for one of the gate's own, in its words. */
  readonly own: (code: ErrorCode, detail: string) => JsonObject
  /** The type that clients know for a status; `given` where it is one of them. */
  readonly typeOf: (status: number, given: unknown) => string
  /** The last event of a stream that failed. `sequence`: its number, where events have one. */
  readonly frame: (error: JsonObject, sequence: number) => string
  /** A whole body for a mistake of the client's, of an engine's own error object. */
  readonly body: (error: JsonObject, status: number) => JsonObject
  /** A whole error body of the gate's own; absent: as OpenAI's clients read it. */
  readonly words?: ErrorWords
  /** Are the events of a stream numbered? */
  readonly numbered?: true
}

/**
 * What in an object is new: any text, list or object that is not empty, in these members alone
 * (`only`), or in every member but some (`except`). Engines and routers add members of their own:
 * images, audio, annotations, reasoning under ever new names.
 */
export type Members =
  | { readonly only: readonly string[]; readonly except?: undefined }
  | { readonly except: readonly string[]; readonly only?: undefined }

/** What the value of a key makes of an event that is only looked at. */
export type Rule =
  /** Anything but `null` is a reason to look closely. */
  | 'null'
  /** Anything but 0 is: the usual choice is the only one. */
  | 'index'
  /** The word `error` is. */
  | 'kind'
  /** The type of an event that may be an end or an error is. */
  | 'type'
  /** A text, a list or an object that is not empty is content. */
  | 'news'
  /** The members of the object in it are, but for those that are quiet. */
  | 'holder'
  /** Nothing that stands in it is news. */
  | 'quiet'

/** A key to look at, wherever in the event it stands; a quiet one only in a holder. */
export interface Watched {
  readonly key: Uint8Array
  readonly rule: Rule
}

/** What the cheap look at an event goes by. Made once for each API, of the tables that `classifyEvent`
 *  goes by. */
export interface Screen {
  /** The keys to look at, by their length. */
  readonly watched: readonly (readonly Watched[])[]
  /** How the types of the many events end that are content: the others are rare enough to be read
   *  closely. Empty: its events have no types. */
  readonly quiet: Uint8Array
  /** First bytes of types that may be an end or an error, unless they end like that. */
  readonly suspect: Uint8Array
}

/** The parameters of a probe, as far as one engine or another refuses them. */
export interface ProbeForm {
  /** Is `temperature: 0` sent? TGI wants more than 0. */
  readonly temperature: boolean
  /** Tokens asked for, at least; 0: as configured. Some engines want more than one. */
  readonly tokens: number
  /** OpenAI's newer models refuse `max_tokens`; Ollama does not know the other name. */
  readonly field: 'max_tokens' | 'max_completion_tokens'
}

/** The smallest request that makes an engine work, and what its answer must show. */
export interface Probe {
  /** Its members besides the model. `form.tokens` is what to ask for. Pure. */
  readonly request: (form: ProbeForm) => JsonObject
  /** The member of an answer that proves something when it is a list with something in it. */
  readonly part: 'choices' | 'data'
  /** Does a whole answer show work, where the engine counts no tokens? Pure. */
  readonly proves: (body: JsonObject) => boolean
}

/** What one server-sent event of an answer is. */
export type EventVerdict =
  /** New tokens, of whatever kind, and nothing else. The first one is the commit
   *  (docs/decisions/0003). */
  | {
      readonly kind: 'content'
      /** Choices that it shows and that go on, by index; none where the event was only screened. */
      readonly open: readonly number[]
    }
  /** Proves nothing: comments, roles, empty deltas, usage. */
  | {
      readonly kind: 'neutral'
      /** Choices that it shows and that go on; absent: none. */
      readonly open?: readonly number[]
    }
  /** Choices ended properly. An answer without choices counts as one with index 0. */
  | {
      readonly kind: 'end'
      /** Did new tokens come with it? */
      readonly content: boolean
      /** Their indexes, to be counted against `n`. */
      readonly finished: readonly number[]
      /** Choices that it shows and that go on. */
      readonly open: readonly number[]
    }
  /** The upstream gave up: an error frame, or a finish reason that does not end an answer properly. */
  | Fault
  /** The last event of the stream: `[DONE]`, `message_stop`. Proves no success: engines send it
   *  after errors too (vLLM: a dying core). */
  | { readonly kind: 'done' }

/** Why a 2xx answer, or an event of one, is none. */
export interface Fault {
  readonly kind: 'error'
  /** `no_choices`: what every answer of this API has is not there. */
  readonly why: 'empty' | 'not_json' | 'error' | 'abort' | 'no_choices'
  /** For people; the engine's own sentence where it said one, clipped. */
  readonly message: string
  /** All that the engine said; null: nothing, or only that it stopped. */
  readonly said: EngineError | null
}

/** What an engine says went wrong, whatever shape it says it in. Absent texts are empty. */
export interface EngineError {
  /** Its own sentence. */
  readonly message: string
  readonly type: string
  readonly code: string
  /** The mistake of the client's that it names: a status from 400 to 499, by number, by a code or by
   *  a type; null: it names none. */
  readonly status: number | null
  /** All that its error object says: OpenAI clients read it under `error`. */
  readonly object: JsonObject
}
