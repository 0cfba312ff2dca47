/** The one model that the stub lists. */
export const MODEL = 'bench'

/** Bytes of one token event, without the framing of its chunk. */
export const EVENT_BYTES = 232

const CHUNK = {
  id: 'chatcmpl-bench',
  object: 'chat.completion.chunk',
  created: 1_700_000_000,
  model: MODEL,
}
const WORDS = 'every word of this text is here for its length alone and says "nothing"\n'

/** A chat request of about `bytes` bytes, keys in the order of OpenAI's examples. Pure. */
export function chatBody(bytes: number, stream: boolean): Buffer {
  const tail = stream ? { stream: true } : {}
  return padded(bytes, (content) => ({
    model: MODEL,
    messages: [{ role: 'user', content }],
    ...tail,
  }))
}

/** A whole chat answer of about `bytes` bytes. Pure. */
export function chatAnswer(bytes: number): Buffer {
  return padded(bytes, (content) => ({
    ...CHUNK,
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 8, completion_tokens: 8, total_tokens: 16 },
  }))
}

/** One event of a chat stream. Pure. */
export function chatEvent(delta: object, finish: string | null = null): Buffer {
  const choices = [{ index: 0, delta, finish_reason: finish }]
  return Buffer.from(`data: ${JSON.stringify({ ...CHUNK, choices })}\n\n`)
}

/** A token event of exactly `EVENT_BYTES`. Pure. */
export function tokenEvent(): Buffer {
  const empty = chatEvent({ content: ' ' })
  return chatEvent({ content: ' '.padEnd(1 + EVENT_BYTES - empty.length, 'a') })
}

/** Bytes as one chunk of a chunked body. Pure. */
export function asChunk(bytes: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`${bytes.length.toString(16)}\r\n`),
    bytes,
    Buffer.from('\r\n'),
  ])
}

/** A request on the wire. Pure. */
export function requestBytes(target: string, body: Buffer): Buffer {
  const head = [
    `POST ${target} HTTP/1.1`,
    'host: 127.0.0.1',
    'user-agent: OpenAI/JS 6.1.0',
    'accept: application/json',
    'content-type: application/json',
    'authorization: Bearer sk-none',
    `content-length: ${body.length}`,
  ]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body])
}

/** Text in `make` such that the JSON is at least `bytes` long and hardly longer. */
function padded(bytes: number, make: (content: string) => object): Buffer {
  const bare = Buffer.byteLength(JSON.stringify(make('')))
  const perRepeat = JSON.stringify(WORDS).length - 2
  const repeats = Math.max(0, Math.floor((bytes - bare) / perRepeat))
  const left = Math.max(0, bytes - bare - repeats * perRepeat)
  return Buffer.from(JSON.stringify(make(WORDS.repeat(repeats) + 'a'.repeat(left))))
}
