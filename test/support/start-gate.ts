import { App } from '../../src/app.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Reason } from '../../src/core/health/reason.ts'
import { shownReason } from '../../src/core/table.ts'
import { type Clock, systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/telemetry/log.ts'

/** A gate as a user has it, in this process, on a free port of the loopback. */
export interface TestGate {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  readonly port: number
  readonly app: App
  /** Log lines so far. */
  readonly lines: string[]
  reason(upstream: string): Reason | undefined
  /** Resolves when `check` holds; rejects after `limitMs`, saying what the table looked like. */
  until(check: () => boolean, limitMs?: number): Promise<void>
  /** Resolves when the upstream has one of these reasons. */
  untilReason(upstream: string, ...reasons: Reason[]): Promise<void>
  /** Loads another environment into the running gate. */
  reload(env: Record<string, string>): void
  close(): Promise<void>
}

/** The system's clock, with a way to let minutes pass at once. Timers stay as they are. */
export function leapingClock(): Clock & { leap(ms: number): void } {
  let aheadMs = 0
  return {
    ...systemClock,
    nowMs: () => systemClock.nowMs() + aheadMs,
    leap: (ms) => void (aheadMs += ms),
  }
}

interface Teardown {
  teardown: (end: () => Promise<void>) => unknown
}

/** Starts a gate with this environment (`GENGATE_PORT` is any free one) and closes it after `t`. */
export async function startGate(
  t: Teardown,
  env: Record<string, string>,
  clock: Clock = systemClock,
): Promise<TestGate> {
  const lines: string[] = []
  const log = createLog({
    tty: false,
    color: false,
    level: 'debug',
    clock: systemClock,
    write: (line) => lines.push(line),
  })
  const own = { ...process.env, ...env }
  const io = { clock, random: Math.random, version: '0.0.0-test', log, env: own }
  const app = new App(configOf(env), io)
  t.teardown(() => app.close({ force: true }))
  const { port } = await app.listen()
  const reason = (name: string): Reason | undefined => {
    const entry = app.store.current.entries.find(({ spec }) => spec.name === name)
    return entry === undefined ? undefined : shownReason(entry)
  }
  const until = async (check: () => boolean, limitMs = 20_000): Promise<void> => {
    const end = performance.now() + limitMs
    while (!check()) {
      if (performance.now() > end) {
        const table = app.store.current.entries.map((e) => `${e.spec.name}=${shownReason(e)}`)
        throw new Error(`not within ${limitMs} ms; ${table.join(' ')}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    app,
    lines,
    reason,
    until,
    untilReason: (name, ...reasons) =>
      until(() => {
        const now = reason(name)
        return now !== undefined && reasons.includes(now)
      }),
    reload: (next) => app.reload(loaded(next)),
    close: () => app.close(),
  }
}

function loaded(env: Record<string, string>): ReturnType<typeof loadConfig> {
  const defaults = { GENGATE_PORT: '0', GENGATE_EMBEDDED: 'off' }
  const input = { env: { ...defaults, ...env }, file: null, flags: { upstreams: [] } }
  return loadConfig({ ...input, readFile: () => null })
}

function configOf(
  env: Record<string, string>,
): Extract<ReturnType<typeof loadConfig>, { ok: true }>['config'] {
  const result = loaded(env)
  if (!result.ok) throw new Error(result.issues.map((i) => `${i.name} ${i.message}`).join('\n'))
  return result.config
}
