/**
 * What an upstream's status does before anything has reached the client.
 * `judge`: look at the content. `pass`: the client's own answer, neutral. `misconfigured`: next
 * upstream, and a person has to mend this one. `busy`: next if one is eligible, else passed on
 * with its `Retry-After`. `suspect`: next upstream, and a probe at once.
 */
export type StatusAction = 'judge' | 'pass' | 'misconfigured' | 'busy' | 'suspect'

/** Statuses that differ from their class. */
const BY_STATUS: Readonly<Record<number, StatusAction>> = {
  408: 'busy',
  429: 'busy',
  501: 'pass',
  503: 'busy',
}

const BY_CLASS: Readonly<Record<number, StatusAction>> = {
  2: 'judge',
  3: 'pass',
  4: 'pass',
  5: 'suspect',
}

/** May this refusal be about the gate's own key? Or about what this client asked for: a probe tells. */
export function mayRefuseUs(status: number): boolean {
  return status === 401 || status === 403
}

/** What to do with an answer of this status. `mapped`: the gate wrote the model name, so a 404 is
 *  the gate's mistake and not the client's. A status that HTTP does not know is a fault. */
export function statusAction(status: number, request: { readonly mapped: boolean }): StatusAction {
  if (status === 404 && request.mapped) return 'misconfigured'
  return BY_STATUS[status] ?? BY_CLASS[Math.floor(status / 100)] ?? 'suspect'
}
