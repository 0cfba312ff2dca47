import type { Config } from '../config/config.ts'
import { askGate, noStatusMessage, ownGate } from './gate-client.ts'
import type { GateStatus } from './gate-status.ts'
import { type CliIo, EXIT } from './io.ts'
import { type Look, printLook } from './look.ts'
import { statusLines } from './status-table.ts'

/** Shows what the running gate knows. Exit 0 when something is servable, else 1. */
export async function showStatus(
  config: Config,
  options: { readonly json: boolean },
  io: CliIo,
): Promise<number> {
  return printLook(await lookAtStatus(config, io), options, io)
}

/** One look at the running gate. */
export async function lookAtStatus(
  config: Config,
  io: Pick<CliIo, 'clock'> & { readonly signal?: AbortSignal },
): Promise<Look> {
  const { origin, apiKey } = ownGate(config)
  const answer = await askGate(origin, apiKey, io)
  if (answer.kind !== 'status') {
    const problem = `gengate: ${noStatusMessage(origin, answer)}`
    return { code: EXIT.failed, lines: [], problems: [problem], document: undefined, key: problem }
  }
  return {
    code: showsServable(answer.status) ? EXIT.ok : EXIT.failed,
    lines: statusLines(answer.status, io.clock.wallMs()),
    problems: [],
    document: answer.document,
    key: keyOf(answer.status),
  }
}

/** Does the document show something servable (design D5): eligible, cold on demand, suspect, or
 *  unproven where nobody probes? Pure. */
export function showsServable({ upstreams }: GateStatus): boolean {
  return upstreams.some(({ eligible, state, cold, probe }) => {
    if (eligible || state === 'suspect') return true
    if (state === 'cold') return cold === 'on_demand'
    return state === 'unknown' && probe === 'passive'
  })
}

/** Load and ages move all the time; the rest is news. */
function keyOf({ version, draining, configError, shadowed, upstreams }: GateStatus): string {
  const rows = upstreams.map(({ name, state, reason, models }) => [name, state, reason, models])
  return JSON.stringify([version, draining, configError, shadowed, rows])
}
