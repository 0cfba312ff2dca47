import type { EngineKind } from '../core/upstream.ts'
import { defaultPortOf, ENGINE_KINDS, quirksOf } from '../engines/index.ts'

/** Names that need no URL: whoever writes another one and gives none may mean one of these. */
export const KNOWN_NAMES: readonly string[] = [
  'vllm_metal',
  'vllm_cpu',
  ...ENGINE_KINDS.filter((kind) => kind !== 'vllm_metal' && quirksOf(kind).defaultPort !== null),
]

/** Where an upstream listens when nobody says: by its name, else by its engine; null: a URL is
 *  needed. */
export function defaultUrl(name: string, engine: EngineKind): string | null {
  const port = defaultPortOf(name) ?? defaultPortOf(engine)
  return port === null ? null : `http://127.0.0.1:${port}`
}

/** The name for an upstream of which only the URL is known: the engine whose default port it uses,
 *  if that name is free, else a number. */
export function nameFor(url: string, taken: ReadonlySet<string>): string {
  const port = Number(new URL(url).port)
  const byPort = ENGINE_KINDS.find(
    (kind) => quirksOf(kind).defaultPort === port && !taken.has(kind),
  )
  if (byPort !== undefined) return byPort
  let number = 1
  while (taken.has(`upstream_${number}`)) number++
  return `upstream_${number}`
}

/** The known name that was probably meant; null: none is near. Case and the kind of the separator do not
 *  count, since `VLLM-CPU` is a way to write `vllm_cpu`. Of two that are as near the first is it. Pure. */
export function nearest(written: string, known: readonly string[]): string | null {
  const word = written.toLowerCase().replaceAll(/[-. ]/g, '_')
  return nearestOf(known.map((name) => ({ name, far: farness(word, name) })))
}

/** The first name of those that are least far; null: all are other words. Pure. */
export function nearestOf(names: readonly { name: string; far: number }[]): string | null {
  const [best] = names.filter(({ far }) => far < Infinity).toSorted((a, b) => a.far - b.far)
  return best?.name ?? null
}

/** The question that ends a message about an unknown name, with a blank before it; '': none is near. Pure. */
export function didYouMean(written: string, known: readonly string[]): string {
  const name = nearest(written, known)
  return name === null ? '' : ` Did you mean ${name}?`
}

/** How far a written word is from a known one: edits, `Infinity` when it is another word. A word
 *  that only lacks parts of the known one (`KEY` for `API_KEY`) is near. Pure. */
export function farness(written: string, known: string): number {
  const edits = editDistance(written, known)
  if (edits <= Math.min(3, Math.max(1, Math.floor(written.length / 3)))) return edits
  const parts = known.split('_')
  return written.split('_').every((part) => parts.includes(part)) ? 3 : Infinity
}

/** Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = a[i - 1] === b[j - 1] ? 0 : 1
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row[j] = Math.min(
        at(last, j) + 1,
        at(row, j - 1) + 1,
        at(last, j - 1) + changed,
        swapped ? at(before, j - 2) + 1 : Infinity,
      )
    }
    before = last
    last = row
  }
  return at(last, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Infinity
}
