/** What several rounds of one measure came to. */
export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly count: number
}

/** Median and range; null where nothing was measured. Pure. */
export function summarize(values: readonly number[]): Summary | null {
  const sorted = values.filter((value) => Number.isFinite(value)).toSorted((a, b) => a - b)
  const min = sorted[0]
  const max = sorted.at(-1)
  if (min === undefined || max === undefined) return null
  return { median: percentile(sorted, 0.5), min, max, count: sorted.length }
}

/** The value at `share` (0 to 1) of an ascending list, between neighbours in proportion; NaN for an
 *  empty list. Pure. */
export function percentile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1)
  const low = sorted[Math.floor(at)] ?? Number.NaN
  const high = sorted[Math.ceil(at)] ?? Number.NaN
  return low + (high - low) * (at - Math.floor(at))
}

/** Values of one round divided by those of the yardstick in the same round, where both exist: the
 *  machine's speed drifts, and within a round it hardly does. Pure. */
export function ratios(
  values: readonly (number | null)[],
  yardstick: readonly (number | null)[],
): number[] {
  return values.flatMap((value, round) => {
    const by = yardstick[round]
    if (value === null || by === null || by === undefined) return []
    // What never happened is divided by nothing.
    return Number.isFinite(value) && Number.isFinite(by) && by > 0 ? [value / by] : []
  })
}
