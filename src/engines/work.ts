import { isObject } from '../api/read.ts'

/** A GET without side effects that shows what an engine is at, whoever asked for it. */
export interface WorkQuery {
  /** Below the base URL: `/slots`. */
  readonly path: string
  /** Look before a probe is sent, since the engine runs what its client has given up? Else only
   *  while a probe is silent. */
  readonly before: boolean
  /** What the answer shows: its JSON, or its text where it is not JSON; null: nothing. Pure. */
  readonly read: (body: unknown) => Work | null
}

/** What an engine says about its work. That it says anything is not a sign of life. */
export interface Work {
  /** Would a probe be worked on at once? */
  readonly room: boolean
  /** Tokens by what they belong to. One that has begun and grows is progress. */
  readonly made: ReadonlyMap<string, number>
}

/** Did anything that had begun grow? What is new since proves nothing: an engine may give each
 *  stream one token and freeze (docs/decisions/0012). Pure. */
export function hasGrown(before: Work, now: Work): boolean {
  return [...now.made].some(([key, tokens]) => {
    const was = before.made.get(key) ?? 0
    return was > 0 && tokens > was
  })
}

/** llama.cpp's `/slots`: per slot the task it is at and how far it is with it. */
export function workOfSlots(body: unknown): Work | null {
  if (!Array.isArray(body) || body.length === 0) return null
  const slots = body.filter(isObject)
  if (!slots.every((slot) => typeof slot['is_processing'] === 'boolean')) return null
  const busy = slots.filter((slot) => slot['is_processing'] === true)
  const made = busy.map(
    (slot) => [`${String(slot['id'])}/${String(slot['id_task'])}`, done(slot)] as const,
  )
  return { room: busy.length < slots.length, made: new Map(made) }
}

/** Prompt tokens read and tokens written. The latter lie in a list since some builds. */
function done(slot: Readonly<Record<string, unknown>>): number {
  const listed: unknown = Array.isArray(slot['next_token']) ? slot['next_token'][0] : undefined
  const next = isObject(listed) ? listed : slot
  return count(slot['n_prompt_tokens_processed']) + count(next['n_decoded'])
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}

/** One counter of a page of Prometheus metrics, summed over its series: null where it is not. */
export function workOfCounter(body: unknown, name: string): Work | null {
  if (typeof body !== 'string') return null
  const series = body
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  if (series.length === 0) return null
  const sum = series.reduce(
    (total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)),
    0,
  )
  return { room: true, made: new Map([[name, sum]]) }
}
