import process from 'node:process'

/** The share of the long form that is asked for; null: none of it. */
const SHARE = process.env['SOAK'] === undefined ? null : Number(process.env['SOAK'])

/** Is this the long form? */
export const IS_SOAK: boolean = SHARE !== null

/**
 * How many of something a test does. `npm test` does few, just enough to fail where the code is broken;
 * `npm run soak` does all, `SOAK=0.1 npm run soak` a tenth of them.
 */
export function sized(few: number, all: number): number {
  return SHARE === null ? few : Math.max(few, Math.round(all * SHARE))
}
