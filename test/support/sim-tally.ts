/** What a referee counts in one world. */
export interface Tally {
  softMs: number[]
  hardMs: number[]
  falseEjections: number
  ejections: number
  forwards: number
  probes: number
  /** Time that healthy upstreams spent as suspects while another was eligible, ms. */
  falseSuspectMs: number
}

/** A tally at the start. */
export function noTally(): Tally {
  return {
    softMs: [],
    hardMs: [],
    falseEjections: 0,
    ejections: 0,
    forwards: 0,
    probes: 0,
    falseSuspectMs: 0,
  }
}
