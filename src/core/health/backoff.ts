/** Bounds of a wait that doubles, ms. */
export interface BackoffBounds {
  readonly first: number
  readonly max: number
}

/** How long to wait after the `times`-th failure in a row, counted from 1, ms. Pure. */
export function backoffMs(times: number, { first, max }: BackoffBounds): number {
  return Math.min(first * 2 ** Math.max(0, times - 1), max)
}
