// How to run: `npm run bench` (see bench/README.md for what it measures and why that is fair).
// It prints its progress on stderr and the result, as Markdown, on stdout.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  canPin,
  type Contender,
  findContenders,
  killContenders,
  type Missing,
} from './contenders.ts'
import { startCrew } from './crew.ts'
import { type Facts, factLines, facts } from './facts.ts'
import { Bench, type Busy, type Runner } from './measures.ts'
import { type Options, parseOptions } from './options.ts'
import { FULL, type Measure, type Plan, QUICK } from './plan.ts'
import { profileGate } from './profile.ts'
import { markdown, type Row } from './table.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2))
  if (typeof options === 'string') {
    process.stderr.write(options)
    return process.argv.includes('--help') ? 0 : 2
  }
  const known = facts(ROOT)
  const { found: all, missing } = findContenders(options.compare)
  const found = all.filter(
    ({ name, compared }) => compared || (options.among?.includes(name) ?? true),
  )
  for (const { name, cure } of missing) tell(`${name} is not installed and left out: ${cure}`)
  const plan = options.quick ? QUICK : FULL
  const dir = mkdtempSync(join(tmpdir(), 'gengate-bench-'))
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
  if (options.profile !== null) {
    const text = await profileGate(plan, options.profile, dir)
    process.stdout.write(`${text}\n`)
    return 0
  }
  const { rows, bench } = await measureAll(options, plan, found, dir)
  const report = reportOf({
    known,
    contenders: found,
    missing,
    rows,
    bench,
    quick: options.quick,
  })
  process.stdout.write(`${report}\n`)
  if (options.json !== null) {
    const raw = { ...known, contenders: found, missing, rows, busy: bench.busy }
    writeFileSync(options.json, `${JSON.stringify(raw, finite, 2)}\n`)
  }
  return 0
}

async function measureAll(
  options: Options,
  plan: Plan,
  contenders: readonly Contender[],
  dir: string,
): Promise<{ readonly rows: readonly Row[]; readonly bench: Bench }> {
  const crew = await startCrew()
  const bench = new Bench(crew, plan, dir)
  const runners: Runner[] = []
  try {
    for (const contender of contenders) {
      const running = (await contender.start?.(bench.newDir('run'), crew.stubPort)) ?? null
      runners.push({ contender, running })
    }
    for (const runner of runners) {
      tell(`warming ${runner.contender.name}`)
      await bench.warm(runner)
    }
    const rows: Row[] = []
    for (const measure of options.only) {
      tell(`measuring ${measure}`)
      rows.push(...(await rowsOf(measure, bench, { runners, contenders })))
    }
    return { rows, bench }
  } finally {
    for (const { running } of runners) await running?.stop()
    crew.stop()
  }
}

async function rowsOf(
  measure: Measure,
  bench: Bench,
  who: { readonly runners: readonly Runner[]; readonly contenders: readonly Contender[] },
): Promise<readonly Row[]> {
  const { runners, contenders } = who
  switch (measure) {
    case 'unary-1k':
      return [
        await bench.cpu(measure, { kind: 'unary', bytes: 1_024, title: 'unary 1 KB' }, runners),
      ]
    case 'unary-100k': {
      const what = { kind: 'unary', bytes: 102_400, title: 'unary 100 KB' } as const
      return [await bench.cpu(measure, what, runners)]
    }
    case 'sse':
      return [await bench.cpu(measure, { kind: 'sse', bytes: 0, title: 'stream event' }, runners)]
    case 'ttfb-unary':
      return bench.ttfb(measure, false, runners)
    case 'ttfb-sse':
      return bench.ttfb(measure, true, runners)
    case 'open-cost':
      return [await bench.openCost(runners)]
    case 'rss':
      return [await bench.rss(contenders)]
    case 'slow-reader':
      return [await bench.slowReader(contenders)]
    case 'abort':
      return [await bench.abort('before_head', runners), await bench.abort('in_stream', runners)]
  }
}

function reportOf(run: {
  readonly known: Facts
  readonly contenders: readonly Contender[]
  readonly missing: readonly Missing[]
  readonly rows: readonly Row[]
  readonly bench: Bench
  readonly quick: boolean
}): string {
  const { contenders, bench } = run
  const names = contenders.map(({ name, version }) =>
    version === '' ? name : `${name} ${version}`,
  )
  const most = bench.busy.toSorted((a, b) => b.share - a.share)[0]
  return [
    ...(run.quick
      ? ['**A quick run: it shows that everything works, its numbers mean nothing.**', '']
      : []),
    ...factLines(run.known, names),
    canPin()
      ? '- Contender on processor 0, stub and load on processor 1'
      : '- Nothing is pinned: there is no `taskset` here',
    ...(most === undefined ? [] : [`- Stub and load together: ${busyText(bench.busy, most)}`]),
    ...run.missing.map(({ name, cure }) => `- Not installed: ${name} (\`${cure}\`)`),
    ...bench.faults.map((fault) => `- Faulty window: ${fault}`),
    ...(process.platform === 'linux' ? [] : ['- CPU and memory are read from /proc: Linux only']),
    '',
    markdown(
      run.rows,
      contenders.map(({ name }) => name),
    ),
  ].join('\n')
}

/** Who waits for whom: a full processor at their side means that the contender was not the limit. */
function busyText(all: readonly Busy[], most: Busy): string {
  const inEvents = all.filter((one) => one.measure === 'sse').map(({ share }) => share)
  const most1 = `at most ${percent(most.share)} of their processor (${most.measure}, ${most.contender})`
  return inEvents.length === 0
    ? most1
    : `${most1}; with events at most ${percent(Math.max(...inEvents))}`
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`
}

/** JSON has no infinity: what never happened. */
function finite(_key: string, value: unknown): unknown {
  return value === Infinity ? 'never' : value
}

function tell(text: string): void {
  process.stderr.write(`bench: ${text}\n`)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    killContenders()
    process.exit(1)
  })
}
process.exitCode = await main()
