import { type GateStatus, parseGateStatus } from '../../src/cli/gate-status.ts'
import type { UpstreamSpec } from '../../src/core/upstream.ts'
import { statusOf } from '../../src/operator/status.ts'
import { spec, tableConfig, World } from '../support/world.ts'

/** Wall-clock ms at which these worlds begin. */
export const WALL = 1_800_000_000_000

/** The status of this world as it travels: through JSON. */
export function travelled(
  world: World,
  inFlight: (name: string) => number = () => 0,
  draining = false,
): GateStatus {
  const document = statusOf(world.table, {
    nowMs: world.now,
    wallMs: WALL + world.now,
    startedAtMs: 0,
    inFlight,
    version: '1.2.3',
    instance: 'i-1',
    configState: { ok: true, error: null, shadowed: [] },
    draining,
  })
  const status = parseGateStatus(JSON.parse(JSON.stringify(document)))
  if (status === null) throw new Error('unreachable')
  return status
}

/** A world with upstreams a, b and c. */
export function worldOf(
  specs: Partial<UpstreamSpec>[],
  over: Parameters<typeof tableConfig>[0] = {},
): World {
  const named = specs.map((more, index) =>
    spec({ name: 'abc'[index] ?? 'x', url: `http://127.0.0.1:${index + 1}`, ...more }),
  )
  return new World(tableConfig({ ...over, specs: named })).at(10_000)
}

/** Fails a probe of this upstream. */
export function fail(
  world: World,
  name: string,
  reason: 'refused' | 'http_5xx' = 'refused',
): World {
  world.tell(name, { type: 'probe_sent', at: world.now })
  const outcome = { kind: 'fail', reason, detail: 'x' } as const
  return world.tell(name, { type: 'probe_ended', at: world.now, outcome })
}
