import t from 'tap'
import {
  BUDGET_MAX,
  CRASH_RESERVE,
  earn,
  type FailoverBudget,
  fullBudget,
  giveBack,
  spend,
} from '../../../src/core/exchange/budget.ts'

// Rows of docs/faults.md that are shown here: storm-of-503.

t.test('spend() rescues a burst, then as much as time and answers earn', async (t) => {
  let budget = fullBudget(0)
  let spent = 0
  for (let next = spend(budget, 0, false); next !== null; next = spend(budget, 0, false)) {
    budget = next
    spent++
  }
  t.equal(spent, BUDGET_MAX)
  t.equal(spend(budget, 999, false), null)
  t.not(spend(budget, 1_000, false), null, 'one a second')
  for (let i = 0; i < 11; i++) budget = earn(budget, 0)
  t.not(spend(budget, 0, false), null, 'one for ten answers')
})

t.test('spend() keeps the load of a storm in which everything fails under 1.1 times', async (t) => {
  for (const [asked, answered] of [
    [400, true],
    [12_000, true],
    [12_000, false],
  ] as const) {
    let budget: FailoverBudget = fullBudget(0)
    let sent = 0
    for (let i = 0; i < asked; i++) {
      sent++
      const next = spend(budget, i * 5, answered)
      if (next !== null) {
        budget = next
        sent++
      }
    }
    t.ok(sent <= asked * 1.1, `${sent} sent for ${asked} asked, 200 a second`)
  }
})

t.test('a busy upstream never uses up what a crash may need, nor what serves', async (t) => {
  let budget: FailoverBudget = fullBudget(0)
  for (let i = 0; i < 200; i++) budget = spend(budget, 0, true) ?? budget
  t.equal(budget.tokens, CRASH_RESERVE)
  t.equal(spend(budget, 0, true), null)
  t.not(spend(budget, 0, false), null)
  budget = fullBudget(0)
  for (let i = 0; i < 10_000; i++) {
    const next = spend(budget, 0, true)
    if (next === null) return void t.fail('another upstream is free')
    budget = giveBack(next, 1, 0)
  }
})

t.test('earn() never exceeds the maximum', async (t) => {
  t.equal(earn(fullBudget(0), 10_000).tokens, BUDGET_MAX)
})
