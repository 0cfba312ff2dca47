import { type Job, type Prompt, Refusal, type Route, type Turn } from './engine.ts'

/** Stop strings per request at most. OpenAI takes four; local engines take more. */
const STOPS_MAX = 16

type Fields = Readonly<Record<string, unknown>>

class WrongField extends Refusal {
  constructor(param: string, must: string) {
    super('invalid_value', `${param} must be ${must}.`, param)
  }
}

/** A generation from the parsed JSON of a request; `modelId` is the one name served. Throws a
 *  `Refusal`. */
export function jobOf(route: Route, body: unknown, modelId: string): Job {
  if (!isFields(body)) throw new WrongField('body', 'a JSON object')
  const { model = '' } = body
  if (typeof model !== 'string') throw new WrongField('model', 'a string')
  if (model !== '' && model !== modelId) {
    const message = `The model ${JSON.stringify(model.slice(0, 200))} does not exist. This engine serves ${modelId}.`
    throw new Refusal('model_not_found', message, 'model')
  }
  if ((numberIn(body, 'n', [1, 128]) ?? 1) !== 1) throw new WrongField('n', '1')
  const streamOptions = body['stream_options']
  const newest = integerIn(body, 'max_completion_tokens', [1, Number.MAX_SAFE_INTEGER])
  return {
    route,
    prompt: route === 'chat' ? turnsIn(body) : textIn(body),
    maxTokens: newest ?? integerIn(body, 'max_tokens', [1, Number.MAX_SAFE_INTEGER]),
    stop: stopsIn(body),
    seed: integerIn(body, 'seed', [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]),
    temperature: numberIn(body, 'temperature', [0, 2]),
    topP: numberIn(body, 'top_p', [0, 1]),
    ignoreEos: booleanIn(body, 'ignore_eos'),
    stream: booleanIn(body, 'stream'),
    includeUsage: isFields(streamOptions) && booleanIn(streamOptions, 'include_usage'),
  }
}

function turnsIn(body: Fields): Prompt {
  const { messages } = body
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new WrongField('messages', 'a list of at least one message')
  }
  return { kind: 'turns', turns: messages.map(turnOf) }
}

const ROLES = new Map<unknown, Turn['role']>([
  ['system', 'system'],
  ['developer', 'system'],
  ['assistant', 'assistant'],
  ['user', 'user'],
  ['tool', 'user'],
  ['function', 'user'],
])

function turnOf(message: unknown, index: number): Turn {
  const param = `messages[${index}]`
  if (!isFields(message)) throw new WrongField(param, 'an object with role and content')
  const { role, content } = message
  const text = contentText(content, `${param}.content`)
  const known = ROLES.get(role)
  if (known !== undefined) return { role: known, text }
  throw new WrongField(`${param}.role`, 'system, developer, user, assistant or tool')
}

function contentText(content: unknown, param: string): string {
  if (typeof content === 'string') return content
  // An assistant turn that only called tools has no content.
  if (content === null || content === undefined) return ''
  if (!Array.isArray(content)) throw new WrongField(param, 'text or a list of text parts')
  const texts = content.map((part: unknown) => {
    if (isFields(part) && part['type'] === 'text' && typeof part['text'] === 'string') {
      return part['text']
    }
    throw new WrongField(param, 'text: this engine reads no images, audio or files')
  })
  return texts.join('')
}

function textIn(body: Fields): Prompt {
  const { prompt } = body
  const only: unknown = Array.isArray(prompt) && prompt.length === 1 ? prompt[0] : prompt
  if (typeof only !== 'string') throw new WrongField('prompt', 'one string')
  return { kind: 'text', text: only }
}

function stopsIn(body: Fields): string[] {
  const stop = body['stop'] ?? []
  const stops: unknown[] = Array.isArray(stop) ? stop : [stop]
  const texts = stops.filter((item) => typeof item === 'string')
  if (texts.length < stops.length || stops.length > STOPS_MAX) {
    throw new WrongField('stop', `a string or a list of at most ${STOPS_MAX} strings`)
  }
  return texts.filter((item) => item !== '')
}

type Range = readonly [min: number, max: number]

function numberIn(body: Fields, name: string, [min, max]: Range): number | null {
  const value = body[name] ?? null
  if (value === null) return null
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw new WrongField(name, `a number from ${min} to ${max}`)
  }
  return value
}

function integerIn(body: Fields, name: string, range: Range): number | null {
  const value = numberIn(body, name, range)
  if (value !== null && !Number.isInteger(value)) throw new WrongField(name, 'a whole number')
  return value
}

function booleanIn(body: Fields, name: string): boolean {
  const value = body[name] ?? false
  if (typeof value !== 'boolean') throw new WrongField(name, 'true or false')
  return value
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
