import { type GgufTensor, ggufValue, writeGguf } from './gguf.ts'

/** The public name of the toy. Nobody should take it for a model that knows anything. */
export const TOY_MODEL_ID = 'gengate-toy-bigram'

/** Raise it whenever the same text would give another file: it is part of the file's name. */
export const TOY_GENERATOR_VERSION = 1

/** Words in the vocabulary at most. With specials and bytes: 1,023 tokens, a file of about 7 MB. */
const WORDS_MAX = 763

/** Tokens that a prompt and its answer may take together: the cache of zeros costs 128 bytes each. */
const CONTEXT_TOKENS = 8192

/** Width of attention and FFN. Both are zero, so the least that llama.cpp's kernels like. */
const IDLE_WIDTH = 32

/** Logit of what never followed: far below every counted one at any sane temperature. */
const NEVER = -40

/** Token types of llama.cpp (`llama_token_type`). */
const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, byte: 6 } as const

/** `<unk>`, `<s>`, `</s>`, `▁`, then 256 bytes, then the words. */
const EOS = 2
const WORDS_AT = 4 + 256

/** Plain turns, for others who load the file: it has no notion of roles. What stands between turns
 *  becomes a stop string, so it must be something the toy never says. */
const CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"

/**
 * A Llama that is a bigram machine, counted from `text` (Markdown): the bytes of its GGUF. With
 * attention and FFN at zero, a one-hot embedding reaches the output unchanged but for the norm,
 * which multiplies it by √width. So `output[j, i] = log P(j | i) / √width` makes the logit of `j`
 * after `i` exactly `log P(j | i)`: the maximum-likelihood bigram model of the text.
 *
 * Words are user-defined tokens with their space in front. SentencePiece merges pairs step by step
 * and would never assemble a whole word without all its prefixes; user-defined tokens are cut out
 * of the text before that. Everything else shares dimension 0, the start of a sentence, so a prompt
 * of unknown words is answered too. Pure: the same text gives the same bytes.
 */
export function buildToyModel(text: string): Uint8Array {
  const bigrams = countBigrams(text, WORDS_MAX)
  const width = Math.ceil((bigrams.words.length + 1) / IDLE_WIDTH) * IDLE_WIDTH
  return writeGguf({ metadata: metadataOf(bigrams, width), tensors: tensorsOf(bigrams, width) })
}

function metadataOf(bigrams: Bigrams, width: number): [string, Uint8Array][] {
  const { u32, f32, bool, string, strings, i32s, f32s } = ggufValue
  const { tokens, types } = vocabularyOf(bigrams)
  return [
    ['general.architecture', string('llama')],
    ['general.name', string(TOY_MODEL_ID)],
    ['general.description', string('Word pairs counted from documentation. It knows nothing.')],
    ['general.file_type', u32(0)],
    ['llama.context_length', u32(CONTEXT_TOKENS)],
    ['llama.embedding_length', u32(width)],
    ['llama.block_count', u32(1)],
    ['llama.feed_forward_length', u32(IDLE_WIDTH)],
    ['llama.attention.head_count', u32(1)],
    ['llama.attention.head_count_kv', u32(1)],
    ['llama.attention.key_length', u32(IDLE_WIDTH)],
    ['llama.attention.value_length', u32(IDLE_WIDTH)],
    ['llama.attention.layer_norm_rms_epsilon', f32(1e-9)],
    ['llama.rope.dimension_count', u32(IDLE_WIDTH)],
    ['llama.vocab_size', u32(tokens.length)],
    ['tokenizer.ggml.model', string('llama')],
    ['tokenizer.ggml.tokens', strings(tokens)],
    ['tokenizer.ggml.scores', f32s(tokens.map(() => 0))],
    ['tokenizer.ggml.token_type', i32s(types)],
    ['tokenizer.ggml.unknown_token_id', u32(0)],
    ['tokenizer.ggml.bos_token_id', u32(1)],
    ['tokenizer.ggml.eos_token_id', u32(EOS)],
    ['tokenizer.ggml.add_bos_token', bool(true)],
    ['tokenizer.ggml.add_space_prefix', bool(false)],
    ['tokenizer.chat_template', string(CHAT_TEMPLATE)],
  ]
}

function vocabularyOf({ words }: Bigrams): { tokens: string[]; types: number[] } {
  const tokens = ['<unk>', '<s>', '</s>', '▁']
  const { unknown, control, normal } = TOKEN_TYPE
  const types: number[] = [unknown, control, control, normal]
  for (let byte = 0; byte < 256; byte++) {
    tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
    types.push(TOKEN_TYPE.byte)
  }
  for (const word of words) {
    tokens.push(/\w/.test(word) ? ` ${word}` : word)
    types.push(TOKEN_TYPE.userDefined)
  }
  return { tokens, types }
}

const filled =
  (value: number) =>
  (name: string, width: number, height = 1): GgufTensor => {
    const shape = height === 1 ? [width] : [width, height]
    return { name, shape, data: new Float32Array(width * height).fill(value) }
  }
const [zeros, ones] = [filled(0), filled(1)]

function tensorsOf(bigrams: Bigrams, width: number): GgufTensor[] {
  const vocabulary = WORDS_AT + bigrams.words.length
  return [
    { name: 'token_embd.weight', shape: [width, vocabulary], data: oneHot(bigrams, width) },
    ones('output_norm.weight', width),
    { name: 'output.weight', shape: [width, vocabulary], data: logits(bigrams, width) },
    ones('blk.0.attn_norm.weight', width),
    zeros('blk.0.attn_q.weight', width, IDLE_WIDTH),
    zeros('blk.0.attn_k.weight', width, IDLE_WIDTH),
    zeros('blk.0.attn_v.weight', width, IDLE_WIDTH),
    zeros('blk.0.attn_output.weight', IDLE_WIDTH, width),
    ones('blk.0.ffn_norm.weight', width),
    zeros('blk.0.ffn_gate.weight', width, IDLE_WIDTH),
    zeros('blk.0.ffn_up.weight', width, IDLE_WIDTH),
    zeros('blk.0.ffn_down.weight', IDLE_WIDTH, width),
  ]
}

/** Word `i` lights dimension `i + 1`; specials and bytes light dimension 0. */
function oneHot({ words }: Bigrams, width: number): Float32Array {
  const data = new Float32Array(width * (WORDS_AT + words.length))
  for (let token = 0; token < WORDS_AT; token++) data[token * width] = 1
  for (let word = 0; word < words.length; word++) data[(WORDS_AT + word) * width + word + 1] = 1
  return data
}

function logits(bigrams: Bigrams, width: number): Float32Array {
  const scale = 1 / Math.sqrt(width)
  const data = new Float32Array(width * (WORDS_AT + bigrams.words.length)).fill(NEVER * scale)
  const fill = (dimension: number, counts: ReadonlyMap<number, number>, ends: number): void => {
    const total = [...counts.values()].reduce((sum, times) => sum + times, ends)
    for (const [word, times] of counts) {
      data[(WORDS_AT + word) * width + dimension] = Math.log(times / total) * scale
    }
    if (ends > 0) data[EOS * width + dimension] = Math.log(ends / total) * scale
  }
  fill(0, bigrams.starts, 0)
  for (const word of bigrams.words.keys()) {
    const next = bigrams.follows.get(word)
    const ends = bigrams.ends.get(word) ?? 0
    // A word that nothing ever followed begins a new sentence, except that a text may end there.
    fill(word + 1, next ?? bigrams.starts, ends)
  }
  return data
}

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
