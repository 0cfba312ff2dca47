import t from 'tap'
import { BUDGET_MAX, earn, type FailoverBudget, fullBudget, spend } from '../../src/core/budget.ts'

t.test('spend() rescues a burst, then as much as time and answers earn', async (t) => {
  let budget = fullBudget(0)
  let spent = 0
  for (let next = spend(budget, 0); next !== null; next = spend(budget, 0)) {
    budget = next
    spent++
  }
  t.equal(spent, BUDGET_MAX)
  t.equal(spend(budget, 999), null)
  t.not(spend(budget, 1_000), null, 'one a second')
  for (let i = 0; i < 11; i++) budget = earn(budget, 0)
  t.not(spend(budget, 0), null, 'one for ten answers')
})

t.test('spend() keeps the load of a storm in which everything fails under 1.1 times', async (t) => {
  let budget: FailoverBudget = fullBudget(0)
  let sent = 0
  for (let i = 0; i < 12_000; i++) {
    sent++
    const next = spend(budget, i * 5)
    if (next !== null) {
      budget = next
      sent++
    }
  }
  t.ok(sent <= 12_000 * 1.1, `${sent} sent for 12000 asked, 200 a second for a minute`)
})

t.test('earn() never exceeds the maximum', async (t) => {
  t.equal(earn(fullBudget(0), 10_000).tokens, BUDGET_MAX)
})
