/**
 * The value that the operator's own flags give to a flag of ours, `--port 1` or `--port=1`; the
 * last one counts, as in every engine here. Null: they do not give it; empty: it has no value.
 */
export function valueOf(flags: readonly string[], names: readonly string[]): string | null {
  let value: string | null = null
  for (const [index, flag] of flags.entries()) {
    const [name, inline] = split(flag)
    if (names.includes(name)) value = inline ?? flags[index + 1] ?? ''
  }
  return value
}

/** Pairs of a flag and its value, without those that the operator's own flags set. */
export function unlessSet(
  pairs: readonly (readonly [names: readonly string[], value: string | null])[],
  flags: readonly string[],
): string[] {
  return pairs.flatMap(([names, value]) =>
    value === null || valueOf(flags, names) !== null ? [] : [names[0] ?? '', value],
  )
}

/** vLLM reads `--max_model_len` as `--max-model-len` (FlexibleArgumentParser). */
function split(flag: string): [name: string, inline: string | null] {
  const at = flag.startsWith('--') ? flag.indexOf('=') : -1
  const name = at < 0 ? flag : flag.slice(0, at)
  return [
    name.startsWith('--') ? name.replaceAll('_', '-') : name,
    at < 0 ? null : flag.slice(at + 1),
  ]
}

/** Flags whose value is a secret: `--help` of llama-server b10434 and of vLLM 0.32.0. */
const SECRET =
  /^(--api-key|--hf-token|-hft|--ssl-keyfile-password|--(\w+-)*(token|password|secret))$/

/** The same words with secrets replaced, for whatever is printed. */
export function withoutSecrets(words: readonly string[]): string[] {
  let hiding = false
  return words.map((word) => {
    const [name, inline] = split(word)
    const isFlag = /^--?[a-zA-Z]/.test(word)
    if (isFlag) hiding = SECRET.test(name)
    if (isFlag) return hiding && inline !== null ? `${name}=${SECRET_SHOWN}` : word
    // vLLM takes several keys after one `--api-key`.
    return hiding ? SECRET_SHOWN : word
  })
}

/** Stands for a secret in what is printed. */
export const SECRET_SHOWN = '(secret)'
