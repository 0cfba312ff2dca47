import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

// Does anything notice when a rule of `core/exchange` is broken? Plants one fault after the other in a copy
// of the tree, and runs the unit tests and the simulated worlds over it: each has to turn red. By hand,
// after a change of these rules; a few minutes:
//
//   npx -c 'node test/sim/mutants.ts'              all of them
//   npx -c 'node test/sim/mutants.ts slow budget'  those whose rule has one of these words in it
//
// A table and exit code 0: every fault was noticed by both.

interface Mutant {
  readonly rule: string
  /** In `src/core/exchange/`. */
  readonly file: string
  /** Stands there once. */
  readonly from: string
  readonly to: string
}

const MUTANTS: readonly Mutant[] = [
  {
    rule: 'poison: at most two upstreams see a request',
    file: 'ending.ts',
    from: 'SENT_MAX = 2',
    to: 'SENT_MAX = 3',
  },
  {
    rule: 'failover: a request moves on after a failure',
    file: 'next.ts',
    from: 'if (!wish.replay || !mayFollow(last, to, state.sent)) return null',
    to: 'return null',
  },
  {
    rule: 'busy: a refusal for load moves only to one that is eligible',
    file: 'ending.ts',
    from: "if (last.why === 'busy') return next.kind === 'forward' && next.serves === 'first'",
    to: '',
  },
  {
    rule: 'budget: a failover costs',
    file: 'next.ts',
    from: "if (!last.sent || to.kind !== 'forward') return NOTHING",
    to: 'return NOTHING',
  },
  {
    rule: 'budget: answers may not use up what crashes need',
    file: 'next.ts',
    from: 'spend(budget, nowMs, last.answer !== null)',
    to: 'spend(budget, nowMs, false)',
  },
  {
    rule: 'budget: a failover that was of use is given back',
    file: 'trying.ts',
    from: 'return spent === 0 ? [] :',
    to: 'return spent >= 0 ? [] :',
  },
  {
    rule: 'slow start: routing knows the time',
    file: 'next.ts',
    from: 'ctx.inFlight, ctx.nowMs)',
    to: 'ctx.inFlight)',
  },
  {
    rule: 'gone: what stands still where nobody listens is ended',
    file: 'trying.ts',
    from: 'GONE.includes(entry.reason)',
    to: 'GONE.includes(entry.reason) && nowMs < 0',
  },
  {
    rule: 'lost: only what is silent for longer than it may',
    file: 'trying.ts',
    from: 'silentMs > silenceBudgetMs(entry.facts, item, contextOf(table, nowMs), work)',
    to: 'silentMs >= 0',
  },
  {
    rule: 'dead: a stream that stands still while its upstream generates is cut',
    file: 'trying.ts',
    from: '>= DEAD_MS',
    to: '>= DEAD_MS * 100',
  },
  {
    rule: 'wedged: silent streams there are cut',
    file: 'trying.ts',
    from: '(stuck || lost) && silentMs',
    to: 'lost && silentMs',
  },
  {
    rule: 'replaced: a request leaves a server that is not configured any more',
    file: 'trying.ts',
    from: 'return committed || !replay || waits ? null : removed(upstream)',
    to: 'return null',
  },
  {
    rule: 'replaced: a server that was taken out has not had its turn',
    file: 'trying.ts',
    from: "ending.why === 'refused' || isReplaced(at, ctx)",
    to: "ending.why === 'refused'",
  },
  {
    rule: 'refused: who was never reached may be asked again',
    file: 'trying.ts',
    from: "ending.why === 'refused' || isReplaced(at, ctx)",
    to: 'isReplaced(at, ctx)',
  },
  {
    rule: 'hold: a request waits while nobody can serve',
    file: 'next.ts',
    from: 'if (nowMs < untilMs && ctx.waiting < WAITING_MAX) {',
    to: 'if (nowMs < 0) {',
  },
  {
    rule: 'hold: the wait for a slot has its own limit',
    file: 'next.ts',
    from: 'QUEUE_MS_MAX = 60_000',
    to: 'QUEUE_MS_MAX = 20_000',
  },
  {
    rule: 'start: an engine that sleeps is asked for',
    file: 'next.ts',
    from: "facts.wantedAt === null ? [{ type: 'wanted', at: nowMs }] : []",
    to: '[]',
  },
  {
    rule: 'commit: the head of a stream goes out in time',
    file: 'next.ts',
    from: "if (state.head !== 'open' || state.ttftMs !== null) return unchanged(state)",
    to: "if (state.head === 'open' || state.ttftMs !== null) return unchanged(state)",
  },
  {
    rule: 'commit: an error after a head is a frame',
    file: 'ending.ts',
    from: "    state.head === 'open'\n      ? {",
    to: "    state.head !== 'committed'\n      ? {",
  },
  {
    rule: 'client: one that takes nothing is cut off',
    file: 'trying.ts',
    from: 'if (flow.blocked && flow.stillMs >= STALLED_MS)',
    to: 'if (flow.stillMs < 0)',
  },
  {
    rule: 'lease: whoever leaves gives it back',
    file: 'ending.ts',
    from: "return [{ type: 'abandon', ending: { kind: 'aborted' } }, { type: 'release' }]",
    to: "return [{ type: 'abandon', ending: { kind: 'aborted' } }]",
  },
  {
    rule: 'evidence: the end of an attempt teaches',
    file: 'trying.ts',
    from: 'return evidence === null ? NOTHING :',
    to: 'return nowMs >= 0 ? NOTHING :',
  },
  {
    rule: 'progress: the first tokens of a stream do not count',
    file: 'trying.ts',
    from: 'return livedMs >= ESTABLISHED_MS || events >= ESTABLISHED_EVENTS',
    to: 'return livedMs >= 0 || events >= ESTABLISHED_EVENTS',
  },
]

const UNIT = ['ending', 'next', 'trying'].map((name) => `test/core/exchange/${name}.test.ts`)
/** Until one of them is red. */
const WORLDS = ['exchange', 'supervisor', 'scenarios', 'worlds'].map(
  (name) => `test/sim/${name}.test.ts`,
)

const root = fileURLToPath(new URL('../..', import.meta.url))
const words = process.argv.slice(2)
const chosen = MUTANTS.filter(
  ({ rule }) => words.length === 0 || words.some((word) => rule.includes(word)),
)
const copy = mkdtempSync(join(tmpdir(), 'gengate-mutants-'))
try {
  for (const name of ['src', 'test', 'package.json', 'tsconfig.json']) {
    cpSync(join(root, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  const clean = [...UNIT, ...WORLDS].filter((file) => isRed(file))
  if (clean.length > 0) throw new Error(`red without any fault: ${clean.join(', ')}`)
  const width = Math.max(...chosen.map(({ rule }) => rule.length))
  let missed = 0
  for (const mutant of chosen) {
    const [unit, world] = noticed(mutant)
    if (unit === null || world === null) missed++
    const by = `${(unit ?? 'NOT NOTICED').padEnd(12)}  ${world ?? 'NOT NOTICED'}`
    console.log(`${mutant.rule.padEnd(width)}  ${by}`)
  }
  console.log(`${chosen.length - missed} of ${chosen.length} noticed by both`)
  process.exitCode = missed === 0 ? 0 : 1
} finally {
  rmSync(copy, { recursive: true })
}

/** The first unit test and the first world that a fault turns red; null: none does. */
function noticed({ file, from, to }: Mutant): readonly [string | null, string | null] {
  const path = join(copy, 'src/core/exchange', file)
  const text = readFileSync(path, 'utf8')
  if (text.split(from).length !== 2) throw new Error(`${file} has not once: ${from}`)
  writeFileSync(path, text.replace(from, to))
  const names = [UNIT, WORLDS].map((files) => {
    const red = files.find((one) => isRed(one))
    return red?.replace(/^test\/(core\/)?(exchange\/)?/, '').replace('.test.ts', '') ?? null
  })
  writeFileSync(path, text)
  return [names[0] ?? null, names[1] ?? null]
}

function isRed(file: string): boolean {
  // On a busy machine the world must not end before it has been seen.
  const env = { ...process.env, TAP_TIMEOUT: '900' }
  const options = { cwd: copy, env, stdio: 'ignore', timeout: 900_000 } as const
  return spawnSync(process.execPath, ['--no-warnings', file], options).status !== 0
}
