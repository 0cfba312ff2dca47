import { choiceOf, choiceText } from '../../core/model/model-choice.ts'
import { isRecord } from '../../engines/engine-error.ts'
import { askGate, type GatePlace, noStatusMessage, ownGate } from '../gate-client.ts'
import type { GateStatus, UpstreamStatus } from '../gate-status.ts'
import { tableOf } from '../gate-table.ts'
import { type CliIo, EXIT } from '../io.ts'
import { type Look, printLook } from '../look.ts'
import { tailLines } from '../process-status.ts'
import { statusLines } from '../status-table.ts'

/** Shows what the running gate knows. Exit 0 when something is servable, else 1. */
export async function showStatus(
  config: GatePlace,
  options: { readonly json: boolean; readonly verbose?: boolean },
  io: CliIo,
): Promise<number> {
  const { readFile } = io
  const reading = options.verbose === true ? { ...io, readFile } : { clock: io.clock }
  return printLook(await lookAtStatus(config, reading), options, io)
}

/** One look at the running gate. With `readFile` also at the last words of the engines it owns. */
export async function lookAtStatus(
  config: GatePlace,
  io: Pick<CliIo, 'clock'> & Partial<Pick<CliIo, 'readFile'>> & { readonly signal?: AbortSignal },
): Promise<Look> {
  const { origin, apiKey } = ownGate(config)
  const answer = await askGate(origin, apiKey, io)
  if (answer.kind !== 'status') {
    const problem = `gengate: ${noStatusMessage(origin, answer)}`
    return { code: EXIT.failed, lines: [], problems: [problem], document: undefined, key: problem }
  }
  const { readFile } = io
  const tailOf = ({ process, engine }: UpstreamStatus): readonly string[] =>
    readFile === undefined || process === null ? [] : tailLines(process, engine, readFile)
  const table = tableOf(answer.status)
  const meantOf = ({ name }: UpstreamStatus): readonly string[] =>
    readFile === undefined
      ? []
      : table.entries.flatMap((entry) =>
          entry.spec.name === name ? [choiceText(choiceOf(entry))] : [],
        )
  return {
    code: showsServable(answer.status) ? EXIT.ok : EXIT.failed,
    lines: statusLines(answer.status, io.clock.wallMs(), tailOf, meantOf),
    problems: [],
    document: readFile === undefined ? answer.document : withWords(answer, tailOf),
    key: keyOf(answer.status),
  }
}

/** The document with what `--verbose` adds for people: the last words of each engine, by upstream. */
function withWords(
  { status, document }: { readonly status: GateStatus; readonly document: unknown },
  tailOf: (upstream: UpstreamStatus) => readonly string[],
): Record<string, unknown> {
  const words = status.upstreams.flatMap((upstream) =>
    upstream.process === null ? [] : [[upstream.name, tailOf(upstream)] as const],
  )
  return { ...(isRecord(document) ? document : {}), last_words: Object.fromEntries(words) }
}

/** Does the document show something servable: eligible, cold on demand, suspect, or
 *  unproven where nobody probes? Pure. */
export function showsServable({ upstreams }: GateStatus): boolean {
  return upstreams.some(isServable)
}

/** The same of one upstream. Pure. */
export function isServable(upstream: UpstreamStatus): boolean {
  const { eligible, state, cold, probe, process } = upstream
  if (eligible || state === 'suspect' || process?.startOnDemand === true) return true
  const empty = upstream.loadsNothing || (upstream.modelsListed && upstream.models.length === 0)
  if (state === 'cold') return cold === 'on_demand' && !empty
  return state === 'unknown' && probe === 'passive'
}

/** Load and ages move all the time; the rest is news. */
function keyOf({ version, draining, configError, shadowed, upstreams }: GateStatus): string {
  const rows = upstreams.map(({ name, state, reason, models, process }) => [
    name,
    state,
    reason,
    models,
    process?.state,
    process?.restarts,
  ])
  return JSON.stringify([version, draining, configError, shadowed, rows])
}
