/** Why the headers of a part cannot be read in one way only. */
export interface PartFault {
  readonly fault: string
}

/** `; key=value`, the value a token or in quotes. */
const PARAM = /;[ \t]*([^\s;="]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))[ \t]*/y
/** Bytes that stand for themselves. */
const PLAIN_ENCODINGS: readonly string[] = ['', '7bit', '8bit', 'binary']

/**
 * The name of a part by its headers, without the empty line; null: it has none. Where the name is
 * `model` nothing about it may be in doubt. Pure.
 */
export function nameOf(head: string): string | PartFault | null {
  const lines = head === '' ? [] : head.split('\r\n')
  const valuesOf = (key: string): string[] =>
    lines.flatMap((line) => {
      const colon = line.indexOf(':')
      return line.slice(0, colon).trim().toLowerCase() === key ? [line.slice(colon + 1).trim()] : []
    })
  if (lines.some((line) => /^[ \t]/.test(line))) return { fault: 'A header of a part is folded.' }
  const [disposition, second] = valuesOf('content-disposition')
  if (disposition === undefined) return null
  if (second !== undefined) return { fault: 'A part has two Content-Dispositions.' }
  const { names, more, whole } = paramsOf(disposition)
  const [name] = names
  if (names.length > 1 || more.has('name*')) return { fault: 'A part has more than one name.' }
  if (name === undefined) return whole ? null : { fault: 'The name of a part cannot be read.' }
  if (name !== 'model') return name
  if (!whole) return { fault: 'The Content-Disposition of model cannot be read.' }
  if (more.has('filename') || more.has('filename*')) return { fault: 'The part model is a file.' }
  const encoding = valuesOf('content-transfer-encoding').join(',').toLowerCase()
  return PLAIN_ENCODINGS.includes(encoding) ? name : { fault: 'The part model is encoded.' }
}

/** The parameters of `form-data; …`; `whole`: all of it could be read. */
function paramsOf(disposition: string): {
  readonly names: readonly string[]
  readonly more: ReadonlySet<string>
  readonly whole: boolean
} {
  const names: string[] = []
  const more = new Set<string>()
  let at = /^form-data[ \t]*/i.exec(disposition)?.[0].length ?? 0
  if (at === 0) return { names, more, whole: false }
  while (at < disposition.length) {
    PARAM.lastIndex = at
    const param = PARAM.exec(disposition)
    if (param === null) break
    const [all, key = '', quoted, token = ''] = param
    if (key.toLowerCase() === 'name') names.push(quoted?.replaceAll(/\\(.)/g, '$1') ?? token)
    else more.add(key.toLowerCase())
    at += all.length
  }
  return { names, more, whole: at === disposition.length }
}
