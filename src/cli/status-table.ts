import { durationText } from '../core/explain.ts'
import type { GateStatus, UpstreamStatus } from './gate-status.ts'
import { parseIso } from '../runtime/clock.ts'
import { processLine } from './process-status.ts'

const HEAD = ['NAME', 'STATE', 'REASON', 'SINCE', 'IN FLIGHT', 'MODELS'] as const

/** The upstreams as a table for people, with a hint under each that is not eligible, and a line about
 *  each engine that the gate owns. `tailOf`: the end of that engine's output. `meantOf`: what a request
 *  without a model means there. Pure but for them. */
export function statusLines(
  status: GateStatus,
  wallMs: number,
  tailOf: (upstream: UpstreamStatus) => readonly string[] = () => [],
  meantOf: (upstream: UpstreamStatus) => readonly string[] = () => [],
): string[] {
  const rows = status.upstreams.map((upstream) => cells(upstream, wallMs))
  const widths = HEAD.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [
    `gengate ${status.version}, running for ${durationText(status.uptimeS * 1000)}`,
    line(HEAD),
    ...status.upstreams.flatMap((upstream, index) => [
      line(rows[index] ?? []),
      ...(upstream.eligible || upstream.hint === '' ? [] : [`  ${upstream.hint}`]),
      ...meantOf(upstream).map((text) => `  ${text}`),
      ...(upstream.process === null
        ? []
        : [`  ${processLine(upstream.process, wallMs)}`, ...tailOf(upstream)]),
    ]),
    ...(status.configError === null ? [] : [`Last reload failed: ${status.configError}`]),
    ...status.shadowed.map(
      (name) => `${name} in the env file has no effect: the environment wins.`,
    ),
  ]
}

function cells(upstream: UpstreamStatus, wallMs: number): readonly string[] {
  const since = upstream.since === null ? Number.NaN : parseIso(upstream.since)
  const models = upstream.models.slice(0, 3).join(', ')
  const more = upstream.models.length > 3 ? ` and ${upstream.models.length - 3} more` : ''
  return [
    upstream.name,
    upstream.state,
    upstream.reason,
    Number.isNaN(since) ? '-' : durationText(wallMs - since),
    String(upstream.inFlight),
    models === '' ? '-' : models + more,
  ]
}
