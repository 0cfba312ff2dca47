import type { Check } from './doctor-checks.ts'
import type { GateAnswer } from './gate-client.ts'
import type { GateStatus, UpstreamStatus } from './gate-status.ts'
import { isServable } from './commands/status.ts'

/** What `doctor` says of the gate that answers where it was configured to be. `by`: its process, in
 *  words. Pure. */
export function gateCheck(
  origin: string,
  answer: Extract<GateAnswer, { kind: 'status' | 'unauthorized' }>,
  by: string,
): Check {
  if (answer.kind === 'status') {
    const what = `this gate runs at ${origin}: gengate ${answer.status.version} (${by})`
    return { level: 'ok', what }
  }
  return {
    level: 'warn',
    what: `a gengate runs at ${origin} (${by}) and wants another API key`,
    todo: 'set GENGATE_API_KEYS to one that it knows; upstreams are looked at without it',
  }
}

/** What a running gate knows, instead of what could be guessed from here: its upstreams may have come
 *  by flags, and it alone knows which engines sleep. Pure. */
export function gateUpstreamChecks(status: GateStatus): Check[] {
  const { upstreams, configError } = status
  const serving = upstreams.filter(isServable).length
  const reload: Check[] =
    configError === null
      ? []
      : [{ level: 'warn', what: `the last reload of the gate failed: ${configError}` }]
  return [
    ...reload,
    ...upstreams.map(rowCheck),
    serving > 0
      ? { level: 'ok', what: `the gate can serve with ${serving} of ${upstreams.length} upstreams` }
      : {
          level: 'fail',
          what: 'the gate has no upstream that can serve',
          todo: 'start an engine; `gengate status` shows each',
        },
  ]
}

function rowCheck(row: UpstreamStatus): Check {
  const who = `${row.name} at ${row.url}`
  if (row.intent !== 'enabled') return { level: 'ok', what: `${who} is ${row.intent}` }
  const what = `${who} is ${row.state} (${row.reason})`
  if (row.process?.startOnDemand === true) {
    return { level: 'ok', what: `${who} does not run yet; the gate starts it on demand` }
  }
  if (row.eligible || (isServable(row) && row.state !== 'suspect')) return { level: 'ok', what }
  return row.hint === '' ? { level: 'warn', what } : { level: 'warn', what, todo: row.hint }
}
