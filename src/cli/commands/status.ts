import { choiceText, durationText } from '../../core/explain.ts'
import { choiceOf } from '../../core/model/model-choice.ts'
import { isObject } from '../../api/read.ts'
import { type EngineEnding, hintFor } from '../../launch/hints.ts'
import { isRunnable } from '../../launch/start-line.ts'
import { parseIso } from '../../runtime/clock.ts'
import {
  type CommandSpec,
  ENV_FILE,
  WATCH,
  type WatchFlags,
  watchUntilStopped,
  withGate,
  type World,
} from '../command.ts'
import { askGate, type GatePlace, ownGate } from '../gate-client.ts'
import {
  agoText,
  type EngineStatus,
  type GateStatus,
  servableOf,
  tableOf,
  type UpstreamStatus,
} from '../gate-status.ts'
import { type CliIo, EXIT } from '../io.ts'
import { type Look, type LookOnce, printLook } from '../watch.ts'

interface StatusFlags extends WatchFlags {
  readonly verbose?: true
}

export const status: CommandSpec = {
  name: 'status',
  summary: 'show what the running gate knows of its upstreams',
  examples: `Examples:
  gengate status
  gengate status --watch                  redrawn every 2 s, until Ctrl-C
  gengate status --json | jq '.upstreams[].reason'
  gengate status --watch --json           one JSON document per line`,
  options: [
    ENV_FILE,
    ...WATCH,
    { flags: '--json', summary: 'print the document of /gate/status' },
    {
      flags: '--verbose',
      summary:
        'show also what a request without a model means, and the last words of owned engines',
    },
  ],
  run: (_args: readonly [], flags: StatusFlags, world: World) =>
    withGate(world.io, flags, async (gate) => {
      const { io } = world
      const look: LookOnce = (signal) =>
        lookAtStatus(gate, { verbose: flags.verbose === true, signal }, io)
      if (flags.watch !== true) return printLook(await look(), flags, io)
      await watchUntilStopped(look, flags, world)
      return EXIT.ok
    }),
}

/** One look at the running gate. */
async function lookAtStatus(
  config: GatePlace,
  { verbose, signal }: { readonly verbose: boolean; readonly signal: AbortSignal | undefined },
  { clock, readFile }: CliIo,
): Promise<Look> {
  const answer = await askGate(ownGate(config), { clock, signal })
  if (answer.kind !== 'status') {
    const problem = `gengate: ${answer.message}`
    return { code: EXIT.failed, lines: [], problems: [problem], document: undefined, key: problem }
  }
  const { status: gate, document } = answer
  const words = verbose ? wordsOf(gate, readFile) : NO_WORDS
  const lastWords = { last_words: Object.fromEntries(words.tails) }
  return {
    code: servableOf(gate).size > 0 ? EXIT.ok : EXIT.failed,
    lines: statusLines(gate, clock.wallMs(), words),
    problems: [],
    document: verbose && isObject(document) ? { ...document, ...lastWords } : document,
    key: keyOf(gate),
  }
}

/** What `--verbose` adds, by upstream. */
interface Words {
  /** What a request without a model means there. */
  readonly meant: ReadonlyMap<string, string>
  /** The end of what its engine has said, where the gate owns it. */
  readonly tails: ReadonlyMap<string, readonly string[]>
}

const NO_WORDS: Words = { meant: new Map(), tails: new Map() }

function wordsOf(gate: GateStatus, readFile: CliIo['readFile']): Words {
  const { entries } = tableOf(gate)
  const owned = gate.upstreams.flatMap(({ name, engine, process }) =>
    process === null ? [] : [[name, tailLines(process, engine, readFile)] as const],
  )
  return {
    meant: new Map(entries.map((entry) => [entry.spec.name, choiceText(choiceOf(entry))])),
    tails: new Map(owned),
  }
}

/** Load and ages move all the time; the rest is news. */
function keyOf({ version, draining, config, upstreams }: GateStatus): string {
  const rows = upstreams.map(({ name, state, reason, models, process }) => [
    name,
    state,
    reason,
    models,
    process?.state,
    process?.restarts,
  ])
  return JSON.stringify([version, draining, config, rows])
}

const HEAD = ['NAME', 'STATE', 'REASON', 'SINCE', 'IN FLIGHT', 'MODELS'] as const

/** The upstreams as a table for people, with a hint under each that is not eligible, and a line about
 *  each engine that the gate owns. Pure. */
export function statusLines(
  gate: GateStatus,
  wallMs: number,
  { meant, tails }: Words = NO_WORDS,
): string[] {
  const rows = [HEAD, ...gate.upstreams.map((upstream) => cells(upstream, wallMs))]
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const [head = '', ...lines] = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  return [
    `gengate ${gate.version}, running for ${durationText(gate.uptime_s * 1000)}`,
    head,
    ...gate.upstreams.flatMap(({ name, eligible, hint, process }, index) => [
      lines[index] ?? '',
      ...(eligible || hint === '' ? [] : [`  ${hint}`]),
      ...(meant.has(name) ? [`  ${meant.get(name)}`] : []),
      ...(process === null ? [] : [`  ${processLine(process, wallMs)}`]),
      ...(tails.get(name) ?? []),
    ]),
    ...(gate.config.error === null ? [] : [`Last reload failed: ${gate.config.error}`]),
    ...gate.config.shadowed.map(
      (name) => `${name} in the env file has no effect: the environment wins.`,
    ),
  ]
}

function cells(upstream: UpstreamStatus, wallMs: number): readonly string[] {
  const { name, state, reason, since, in_flight: load, models } = upstream
  const listed = models.slice(0, 3).join(', ') || '-'
  const more = models.length > 3 ? ` and ${models.length - 3} more` : ''
  return [name, state, reason, agoText(since, wallMs) ?? '-', String(load), listed + more]
}

/** One line for people about an engine that the gate owns. Pure. */
export function processLine(engine: EngineStatus, wallMs: number): string {
  const ago = (iso: string | null): string => agoText(iso, wallMs) ?? 'a while'
  const { last_end: lastEnd, pid, program, next_start_at: next } = engine
  const parts = [
    `engine ${engine.state.replaceAll('_', ' ')} for ${ago(engine.since)}`,
    ...(pid === null ? [] : [`${program}, pid ${pid}`]),
    ...(next === null ? [] : [`next start in ${durationText(parseIso(next) - wallMs)}`]),
    ...counted(engine.restarts, 'restart', ''),
    ...counted(engine.restarts_last_hour, 'failure', ' in the last hour'),
    ...(lastEnd === null
      ? []
      : [`last end ${ago(lastEnd.at)} ago: ${lastEnd.reason} (${lastEnd.how})`]),
    ...(engine.note === '' ? [] : [engine.note]),
  ]
  return parts.join('; ')
}

/** Restarts and failures are two things: an end that the operator wanted is not a failure, and the last
 *  failure may have no restart yet. */
function counted(count: number, what: string, when: string): string[] {
  return count === 0 ? [] : [`${count} ${what}${count === 1 ? '' : 's'}${when}`]
}

/** Lines of an engine's output that are shown. */
const TAIL_LINES = 10
const LINE_CHARS_MAX = 200
/** Lines that a hint is looked for in: those of the newest process. */
const HINT_LINES = 50

/**
 * The end of an engine's output, read from its file by the one who asks: it never goes over the wire,
 * since engines print what they were started with. Pure but for `readFile`.
 */
export function tailLines(
  { log, pid, last_end: lastEnd }: EngineStatus,
  kind: string,
  readFile: (path: string) => string | null,
): string[] {
  if (log === null) return []
  const text = readFile(log)
  if (text === null) return [`  ${log} cannot be read here`]
  const lines = text.split(/\r?\n|\r/).filter((line) => line.trim() !== '')
  const shown = lines.slice(-TAIL_LINES).map((line) => clean(line).slice(0, LINE_CHARS_MAX))
  const died = pid === null && lastEnd?.reason === 'exited' ? lastEnd.how : null
  const hint = died === null ? null : hintFor(endingOf(died, kind, lines))
  return [
    `  the end of ${log}:`,
    ...shown.map((line) => `  | ${line}`),
    ...(hint === null ? [] : [`  Hint: ${hint}`]),
  ]
}

/** What is known of an end, as the table of hints wants it. `kind`: of the engine. */
function endingOf(how: string, kind: string, lines: readonly string[]): EngineEnding {
  const [, code] = /^exit code (\d+)$/.exec(how) ?? []
  const name = kind === 'vllm' ? 'vllm_cpu' : kind
  return {
    engine: isRunnable(name) ? name : null,
    code: code === undefined ? null : Number(code),
    signal: how.startsWith('SIG') ? how : null,
    lines: lines.slice(-HINT_LINES),
  }
}

/** An engine's colours and cursor movements stay out of our terminal. */
function clean(line: string): string {
  // oxlint-disable-next-line no-control-regex -- that is what is to be removed
  return line.replaceAll(/\u001B\[[\d;?]*[A-Za-z]/g, '').replaceAll(/\p{Cc}/gu, ' ')
}
