import type { GateEvent } from '../core/event.ts'

/** Something that looks at events: metrics, the log, the status page. */
export interface Observer {
  /** For reports about itself. */
  readonly name: string
  readonly observe: (event: GateEvent) => void
}

/** The one way in for events. */
export interface Fanout {
  /** Tells every observer, in order. Never throws: watching must not hurt what is watched. */
  readonly emit: (event: GateEvent) => void
  /** How often an observer failed. */
  readonly failures: () => number
}

/**
 * Fans events out. An observer that throws is counted each time and reported once, so that a bug
 * in it neither fails a request nor fills the log. `report` may itself be the broken part.
 */
export function createFanout(
  observers: readonly Observer[],
  report: (name: string, error: unknown) => void,
): Fanout {
  const reported = new Set<string>()
  let failures = 0
  const emit = (event: GateEvent): void => {
    for (const { name, observe } of observers) {
      try {
        observe(event)
      } catch (error) {
        failures += 1
        if (reported.has(name)) continue
        reported.add(name)
        try {
          report(name, error)
        } catch {
          // Nobody is left to tell; the count remains.
        }
      }
    }
  }
  return { emit, failures: () => failures }
}
