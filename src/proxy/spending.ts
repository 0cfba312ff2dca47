import { earn, type FailoverBudget, fullBudget, spend } from '../core/budget.ts'

/** The failover budget of this gate: one cell around the pure rule. */
export class Spending {
  readonly #nowMs: () => number
  #budget: FailoverBudget

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
    this.#budget = fullBudget(nowMs())
  }

  /** Takes one failover; false: there is none left. */
  spend(): boolean {
    const left = spend(this.#budget, this.#nowMs())
    if (left === null) return false
    this.#budget = left
    return true
  }

  /** An answer has ended properly. */
  earn(): void {
    this.#budget = earn(this.#budget, this.#nowMs())
  }
}
