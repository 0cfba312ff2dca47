/**
 * From Markdown to counted word pairs: the training of the toy model. Pure and deterministic; ties
 * are broken by code units, never by a locale.
 */

/** Pieces of speech that end a sentence; only after one of these may an answer end. */
const SENTENCE_ENDS: ReadonlySet<string> = new Set(['.', '?', '!'])

/** A word, or one mark of punctuation. Digits and symbols are left out: they make poor prose. */
const PIECE = /[A-Za-z]+(?:['’-][A-Za-z]+)*|[.,;:?!]/g

/** Sentences of fewer pieces are headings, labels and table cells. */
const SENTENCE_PIECES_MIN = 4

/** What was counted. Numbers are indices into `words`. */
export interface Bigrams {
  /** Most frequent first; at most as many as asked for. Punctuation marks count as words. */
  readonly words: readonly string[]
  /** How often a sentence starts with a word. */
  readonly starts: ReadonlyMap<number, number>
  /** `follows.get(i)?.get(j)`: how often `j` came right after `i`. */
  readonly follows: ReadonlyMap<number, ReadonlyMap<number, number>>
  /** How often the text ended (a paragraph did) right after a word. */
  readonly ends: ReadonlyMap<number, number>
}

/** Paragraphs of sentences of pieces, without code, tables, addresses and markup. */
export function proseOf(markdown: string): string[][][] {
  const plain = markdown
    .replaceAll(/^(```|~~~)[^]*?^\1/gm, '\n\n')
    .replaceAll(/^\s*(?:\||#|<).*$/gm, '\n')
    .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll(/https?:\S+|`[^`]*`/g, ' ')
  return plain
    .split(/\n\s*\n|\n\s*(?:[-*]|\d+\.)\s/)
    .map((paragraph) => sentencesOf(paragraph.match(PIECE) ?? []))
    .filter((sentences) => sentences.length > 0)
}

function sentencesOf(pieces: readonly string[]): string[][] {
  const sentences: string[][] = []
  let open: string[] = []
  for (const piece of pieces) {
    open.push(piece)
    if (!SENTENCE_ENDS.has(piece)) continue
    if (open.length >= SENTENCE_PIECES_MIN) sentences.push(open)
    open = []
  }
  return sentences
}

/** Counts word pairs of the prose in `markdown`; rare words beyond `wordsMax` are left out. */
export function countBigrams(markdown: string, wordsMax: number): Bigrams {
  const paragraphs = proseOf(markdown)
  const words = frequentWords(paragraphs.flat(2), wordsMax)
  const indexOf = new Map(words.map((word, index) => [word, index]))
  const starts = new Map<number, number>()
  const ends = new Map<number, number>()
  const follows = new Map<number, Map<number, number>>()
  for (const sentences of paragraphs) {
    let last: number | undefined
    for (const sentence of sentences) {
      const known = sentence.map((piece) => indexOf.get(piece))
      if (known[0] !== undefined) increment(starts, known[0])
      for (const now of known) {
        // A word that is not known breaks the chain: no pair is invented across the hole.
        if (last !== undefined && now !== undefined) {
          let row = follows.get(last)
          if (row === undefined) follows.set(last, (row = new Map()))
          increment(row, now)
        }
        last = now
      }
    }
    if (last !== undefined) increment(ends, last)
  }
  return { words, starts, follows, ends }
}

function frequentWords(pieces: readonly string[], wordsMax: number): string[] {
  const counts = new Map<string, number>()
  for (const piece of pieces) increment(counts, piece)
  return [...counts]
    .toSorted(([a, timesA], [b, timesB]) => timesB - timesA || (a < b ? -1 : 1))
    .slice(0, wordsMax)
    .map(([word]) => word)
}

function increment<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
