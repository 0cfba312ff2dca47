import * as fc from 'fast-check'
import type { Test } from 'tap'
import { sized } from './soak.ts'

/** Runs a property and leaves exactly one assertion behind: tap passes an empty subtest. */
export function holds<Ts>(
  t: Test,
  claim: string,
  property: fc.IPropertyWithHooks<Ts>,
  numRuns = 500,
): void {
  const run = fc.check(property, { numRuns: sized(numRuns, 20 * numRuns) })
  if (run instanceof Promise) throw new TypeError('use holdsAsync')
  t.ok(!run.failed, claim, {
    seed: run.seed,
    path: run.counterexamplePath,
    counterexample: run.counterexample,
    error: run.errorInstance,
  })
}
