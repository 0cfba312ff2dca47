import type { Situation } from '../../src/supervisor/decide.ts'
import { NO_HISTORY } from '../../src/process/restarts.ts'
import type { Plan } from '../../src/supervisor/machine.ts'
import type { Verdict } from '../../src/supervisor/decide.ts'

/** A healthy engine that has run for a while; everything that is not named is so. */
export function verdict(over: Partial<Verdict> = {}): Verdict {
  return {
    reason: 'ok',
    since: 0,
    phase: 'running',
    phaseAt: 0,
    doubtAt: null,
    allSilent: false,
    movedAt: null,
    probing: false,
    wantedAt: null,
    ...over,
  }
}

export function situation(over: Partial<Situation> = {}): Situation {
  return {
    nowMs: 1_000_000,
    want: 'run',
    changed: false,
    owned: { kind: 'up', startedAt: -10_000 },
    history: NO_HISTORY,
    verdict: verdict(),
    inFlight: 0,
    trafficAt: Number.NEGATIVE_INFINITY,
    idleStopMs: null,
    drainMs: 30_000,
    ...over,
  }
}

export function plan(over: Partial<Plan> = {}): Plan {
  return {
    name: 'a',
    url: 'http://127.0.0.1:9',
    line: { command: '/opt/bin/engine', args: ['--api-key', 'sk-secret'], env: {} },
    idleStopMs: null,
    intent: 'enabled',
    ...over,
  }
}
