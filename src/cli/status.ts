import type { Config } from '../config/config.ts'
import { askGate, noStatusMessage, ownGate } from './gate-client.ts'
import type { GateStatus } from './gate-status.ts'
import { type CliIo, EXIT, printJson } from './io.ts'
import { statusLines } from './status-table.ts'

/** Shows what the running gate knows. Exit 0 when something is servable, else 1. */
export async function showStatus(
  config: Config,
  options: { readonly json: boolean },
  io: CliIo,
): Promise<number> {
  const { origin, apiKey } = ownGate(config)
  const answer = await askGate(origin, apiKey, io.clock)
  if (answer.kind !== 'status') {
    io.err(`gengate: ${noStatusMessage(origin, answer)}`)
    return EXIT.failed
  }
  if (options.json) printJson(io, answer.document)
  else for (const line of statusLines(answer.status, io.clock.wallMs())) io.out(line)
  return showsServable(answer.status, config) ? EXIT.ok : EXIT.failed
}

/**
 * Does the document show something servable (design D5): eligible, cold on demand, or suspect?
 * What an upstream's cold policy is, only the configuration here tells. Pure.
 */
export function showsServable(status: GateStatus, config: Config): boolean {
  return status.upstreams.some(({ name, eligible, state }) => {
    const spec = config.upstreams.find((upstream) => upstream.spec.name === name)?.spec
    if (eligible || state === 'suspect') return true
    if (state === 'cold') return spec?.cold !== 'never'
    return state === 'unknown' && spec?.probe === 'passive'
  })
}
