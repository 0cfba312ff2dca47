import { ratios, summarize } from './stats.ts'

/** One row: what was measured, and per contender a value for each round (null: not measured). */
export interface Row {
  readonly title: string
  readonly unit: string
  /** Is it a quotient already? Then no ratios are formed. */
  readonly isRatio?: boolean
  readonly values: Readonly<Record<string, readonly (number | null)[]>>
}

/** The yardsticks that the gate is divided by, in the order of the columns. */
const YARDSTICKS = ['nginx', 'http-proxy']
/** Whatever else takes part is another checkout of the gate. */
const KNOWN = ['direct', 'nginx', 'HAProxy', 'http-proxy', 'gengate']

/** All rows as one Markdown table: medians with their range, then the gate's ratios with theirs. */
export function markdown(rows: readonly Row[], contenders: readonly string[]): string {
  const gates = contenders.filter((name) => name === 'gengate')
  const others = contenders.filter((name) => !KNOWN.includes(name))
  const pairs = [...gates, ...others].flatMap((gate) => {
    const by = gate === 'gengate' ? YARDSTICKS : [...YARDSTICKS, 'gengate']
    return by.filter((name) => contenders.includes(name)).map((name) => [gate, name] as const)
  })
  const head = ['measure', ...contenders, ...pairs.map(([gate, by]) => `${gate} ÷ ${by}`)]
  const lines = rows.map((row) => [
    row.unit === '' ? row.title : `${row.title}, ${row.unit}`,
    ...contenders.map((name) => cell(row.values[name] ?? [])),
    ...pairs.map(([gate, by]) => ratioCell(row, gate, by)),
  ])
  return [head, head.map(() => '---'), ...lines]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n')
}

/** `34.1 (33.0–36.2)`; without a range where one round was measured; `–` for nothing; `never` for
 *  what did not happen. Pure. */
export function cell(values: readonly (number | null)[]): string {
  const never = values.filter((value) => value === Infinity).length
  if (never > 0) return never === values.length ? 'never' : `never in ${never} of ${values.length}`
  const summary = summarize(values.flatMap((value) => (value === null ? [] : [value])))
  if (summary === null) return '–'
  const { median, min, max, count } = summary
  return count === 1 ? short(median) : `${short(median)} (${short(min)}–${short(max)})`
}

/** Three significant digits, or whole numbers from 100 up. Pure. */
export function short(value: number): string {
  if (value === 0) return '0'
  const size = Math.abs(value)
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
}

function ratioCell({ isRatio, values }: Row, gate: string, by: string): string {
  if (isRatio === true) return ''
  const text = cell(ratios(values[gate] ?? [], values[by] ?? []))
  return text === '–' ? text : text.replace(/^[\d.]+/, (median) => `**${median}**`)
}

/** What each contender adds to the direct way, round by round. Pure. */
export function added(
  values: Readonly<Record<string, readonly (number | null)[]>>,
): Record<string, (number | null)[]> {
  const direct = values['direct'] ?? []
  return Object.fromEntries(
    Object.entries(values)
      .filter(([name]) => name !== 'direct')
      .map(([name, rounds]) => [
        name,
        rounds.map((value, round) => {
          const by = direct[round]
          return value === null || by === null || by === undefined ? null : value - by
        }),
      ]),
  )
}
