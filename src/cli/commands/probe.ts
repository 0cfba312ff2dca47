import { type CliIo, EXIT, paint } from '../io.ts'
import { type Look, printLook } from '../look.ts'
import {
  findingLabel,
  probeDocument,
  type ProbeFinding,
  probeLine,
  type ProbeTarget,
} from '../probe-artefact.ts'
import type { Targets } from '../probe-targets.ts'
import { watch, type WatchDeps } from '../watch.ts'

/** Sends one generation to a target; every ending is a value. `signal` gives it up. */
export type ProbeOnce = (
  target: ProbeTarget,
  timeoutMs: number,
  signal?: AbortSignal,
) => Promise<ProbeFinding>

export interface ProbeOptions {
  readonly json: boolean
  /** For each generation, ms. */
  readonly timeoutMs: number
  /** Probe again and again, with this pause, ms; null: once. */
  readonly intervalMs: number | null
}

/** What `probe` needs of its surroundings. */
export interface ProbeDeps extends Pick<WatchDeps, 'redraw'> {
  readonly io: CliIo
  readonly probeOnce: ProbeOnce
  /** Begins to listen for the end of a watch. */
  readonly stopped: () => AbortSignal
}

/** One real generation per target, at the same time. Exit 0 when every one generates, else 1; a
 *  watch ends as its last look would, and with 1 before there was any. */
export async function probe(
  wanted: Targets,
  { json, timeoutMs, intervalMs }: ProbeOptions,
  { io, probeOnce, redraw, stopped }: ProbeDeps,
): Promise<number> {
  if (!wanted.ok) {
    io.err(`gengate: ${wanted.message}`)
    return EXIT.usage
  }
  const { targets } = wanted
  const look = async (signal?: AbortSignal): Promise<Look> =>
    lookOf(await Promise.all(targets.map((target) => probeOnce(target, timeoutMs, signal))), io)
  if (intervalMs === null) return printLook(await look(), { json }, io)
  const last = await watch(look, { intervalMs, json }, { io, redraw, stopped: stopped() })
  return last?.code ?? EXIT.failed
}

function lookOf(findings: readonly ProbeFinding[], io: CliIo): Look {
  const passed = findings.every(({ outcome }) => outcome.kind === 'pass')
  return {
    code: passed ? EXIT.ok : EXIT.failed,
    lines: findings.map((finding) => coloured(io, finding)),
    problems: [],
    document: probeDocument(findings),
    key: JSON.stringify(findings.map((finding) => [findingLabel(finding), finding.models])),
  }
}

function coloured(io: CliIo, finding: ProbeFinding): string {
  const line = probeLine(finding)
  const word = finding.outcome.kind === 'pass' ? 'ok' : 'fail'
  return paint(io, word === 'ok' ? 'green' : 'red', word) + line.slice(word.length)
}
