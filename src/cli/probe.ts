import { type CliIo, EXIT, paint, printJson } from './io.ts'
import { probeDocument, type ProbeFinding, probeLine, type ProbeTarget } from './probe-artefact.ts'
import type { Targets } from './probe-targets.ts'

/** Sends one generation to a target; every ending is a value. */
export type ProbeOnce = (target: ProbeTarget, timeoutMs: number) => Promise<ProbeFinding>

export interface ProbeOptions {
  readonly json: boolean
  /** For each generation, ms. */
  readonly timeoutMs: number
}

/** One real generation per target, at the same time. Exit 0 when every one generates, else 1. */
export async function probe(
  wanted: Targets,
  options: ProbeOptions,
  deps: { readonly io: CliIo; readonly probeOnce: ProbeOnce },
): Promise<number> {
  const { io, probeOnce } = deps
  if (!wanted.ok) {
    io.err(`gengate: ${wanted.message}`)
    return EXIT.usage
  }
  const findings = await Promise.all(
    wanted.targets.map((target) => probeOnce(target, options.timeoutMs)),
  )
  if (options.json) printJson(io, probeDocument(findings))
  else for (const finding of findings) io.out(coloured(io, finding))
  return findings.every(({ outcome }) => outcome.kind === 'pass') ? EXIT.ok : EXIT.failed
}

function coloured(io: CliIo, finding: ProbeFinding): string {
  const line = probeLine(finding)
  const word = finding.outcome.kind === 'pass' ? 'ok' : 'fail'
  return paint(io, word === 'ok' ? 'green' : 'red', word) + line.slice(word.length)
}
