import { partOf, textOf } from '../probe/captures.ts'
import { chunk as chunkOf, perform, rawServer, type Step } from '../support/raw-upstream.ts'

/** One request as it came. */
export interface Asked {
  readonly path: string
  readonly body: string
  /** Is it a probe of the gate's? */
  readonly probe: boolean
}

/** A stand-in that answers with the bytes that a real engine sent. */
export interface Replay {
  readonly url: string
  /** Every POST. */
  readonly posts: Asked[]
  /** What a POST gets; may be changed at any time. */
  play: (asked: Asked) => readonly Step[]
  /** What a GET gets; nothing here: 404. */
  readonly gets: Map<string, readonly Step[]>
}

interface Teardown {
  teardown: (end: () => Promise<void>) => unknown
}

const NOT_FOUND = Buffer.from('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n')

/** Starts one on a free port; `t` closes it. */
export async function replayUpstream(t: Teardown, play: Replay['play']): Promise<Replay> {
  const script: Pick<Replay, 'posts' | 'play' | 'gets'> = { posts: [], play, gets: new Map() }
  const { url } = await rawServer(t, (socket, request) => {
    const [method = '', path = ''] = request.split(' ')
    if (method === 'GET') return void perform(socket, script.gets.get(path) ?? [NOT_FOUND])
    const probe = /\r\nuser-agent: gengate-probe/i.test(request)
    const asked = { path, body: request.slice(request.indexOf('\r\n\r\n') + 4), probe }
    script.posts.push(asked)
    return void perform(socket, script.play(asked))
  })
  return Object.assign(script, { url })
}

/**
 * The n-th answer of a capture as it went over the wire. `curl` wrote it without its chunks, which are
 * made again, one an event; `...` marks what was left out, and the transcript's own remarks end it.
 * `ended`: does the stream have its last chunk? A cut one has none.
 */
export function wireOf(name: string, { at = 0, ended = true } = {}): Buffer[] {
  const [head, said] = partOf(name, at)
  const lines = `${head.replaceAll(/\r?\n/g, '\r\n')}\r\n\r\n`
  if (!/transfer-encoding: chunked/i.test(head)) {
    const body = /^content-length: (\d+)/im.exec(head)
    return [Buffer.from(lines + said.slice(0, Number(body?.[1] ?? said.length)), 'latin1')]
  }
  const events = eventsIn(said)
  return [Buffer.from(lines, 'latin1'), ...events.map(chunk), ...(ended ? [LAST_CHUNK] : [])]
}

/** Whole events. After a `...` the rest of one may come, which is left out. */
function eventsIn(said: string): readonly string[] {
  return said
    .split(/\r?\n\r?\n|^\.\.\.\r?\n/m)
    .map((event) => event.trim())
    .filter((event) => /^(?:data|event|:)/.test(event))
    .map((event) => `${event}\n\n`)
}

const LAST_CHUNK = Buffer.from('0\r\n\r\n')

/** One chunk. `text` holds bytes. */
export function chunk(text: string): Buffer {
  return Buffer.from(chunkOf(text), 'latin1')
}

/**
 * The bytes of a transcript's reads that match, exactly as they were received: it shows them as Python
 * does, `b'e\r\n: keep-alive\n\n\r\n'`. Reads that it clips are left out.
 */
export function readsOf(name: string, wanted: RegExp): Buffer[] {
  const reads = [...textOf(name).matchAll(/^t\+ *[\d.]+ms \d+ b'(.*)'$/gm)].map(
    (match) => match[1] ?? '',
  )
  return reads.map(unquoted).filter((read) => wanted.test(read.toString('latin1')))
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  '\\': '\\',
  "'": "'",
}

function unquoted(repr: string): Buffer {
  const text = repr.replaceAll(
    /\\(?:x([0-9a-f]{2})|(.))/g,
    (_, hex: string | undefined, char: string) =>
      hex === undefined ? (ESCAPES[char] ?? char) : String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(text, 'latin1')
}
