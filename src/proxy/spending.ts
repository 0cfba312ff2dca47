import { earn, type FailoverBudget, fullBudget, giveBack, spend } from '../core/exchange/budget.ts'

/** The failover budget of this gate: one cell around the pure rule. */
export class Spending {
  readonly #nowMs: () => number
  #budget: FailoverBudget

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
    this.#budget = fullBudget(nowMs())
  }

  /** Takes one failover; false: there is none left. `answered`: it follows an answer, not a crash. */
  spend(answered: boolean): boolean {
    const left = spend(this.#budget, this.#nowMs(), answered)
    if (left === null) return false
    this.#budget = left
    return true
  }

  /** What was spent on this request has got it an answer. */
  giveBack(spent: number): void {
    if (spent > 0) this.#budget = giveBack(this.#budget, spent, this.#nowMs())
  }

  /** An answer has ended properly. */
  earn(): void {
    this.#budget = earn(this.#budget, this.#nowMs())
  }
}
