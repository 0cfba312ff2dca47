import { type Intent, INTENT_NAMES, INTENTS } from '../upstream.ts'

/** What an upstream may do now. A closed set (docs/decisions/0014). */
export type State =
  | 'unknown'
  | 'starting'
  | 'cold'
  | 'eligible'
  | 'suspect'
  | 'ejected'
  | 'misconfigured'
  | 'draining'
  | 'disabled'

/** `first`: may get new requests. `on_demand`: after those. `last`: only if nothing else is left. */
export type Serves = 'first' | 'on_demand' | 'last' | 'no'

interface ReasonRow {
  readonly state: State
  readonly serves: Serves
  /** What it means and what to do, for the operator. One sentence or two. */
  readonly hint: string
}

/** Reasons that an intent gives, one for each that hides the evidence. */
type IntentReason = {
  [Name in Intent]: (typeof INTENTS)[Name]['state'] extends null ? never : Name
}[Intent]

function intentReasons(): Readonly<Record<IntentReason, ReasonRow>> {
  const rows = INTENT_NAMES.flatMap((name) => {
    const { state } = INTENTS[name]
    const hint = `The operator set it to ${name}.`
    return state === null ? [] : [[name, { state, serves: 'no', hint }]]
  })
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- made of just these
  return Object.fromEntries(rows) as Record<IntentReason, ReasonRow>
}

/**
 * THE table of reasons that evidence gives: everything that metrics, status, logs and diag show about an upstream
 * follows from its reason. An upstream is `live_failure` after a live 5xx, a reset or an early end, and
 * `embeddings_only` where probes are answered by nothing but embeddings.
 */
const EVIDENCE = {
  not_probed_yet: {
    state: 'unknown',
    serves: 'no',
    hint: 'No probe has ended yet. Wait a moment.',
  },
  stale: {
    state: 'unknown',
    serves: 'no',
    hint: 'The last proof of generation is too old. A probe is due.',
  },
  loading: {
    state: 'starting',
    serves: 'no',
    hint: 'The engine says that it is loading its model. It joins when it generates.',
  },
  model_not_loaded: {
    state: 'cold',
    serves: 'on_demand',
    hint: 'The model is not in memory. The first request loads it, if no other upstream is eligible.',
  },
  sleeping: {
    state: 'cold',
    serves: 'no',
    hint: 'The engine sleeps, and no request wakes it: nor does the gate. Wake it with POST /wake_up.',
  },
  ok: { state: 'eligible', serves: 'first', hint: 'A probe generated a token.' },
  ok_by_traffic: {
    state: 'eligible',
    serves: 'first',
    hint: 'Clients are receiving tokens from it, so no probe is needed.',
  },
  busy: {
    state: 'eligible',
    serves: 'first',
    hint: 'It makes progress while others wait in its queue. Raise its parallelism or add an upstream.',
  },
  probe_missed: {
    state: 'suspect',
    serves: 'last',
    hint: 'A generation probe is overdue and nothing moves. If it lasts, the engine is wedged.',
  },
  silent: {
    state: 'suspect',
    serves: 'last',
    hint: 'Its newest requests are silent for longer than it has shown before.',
  },
  embeddings_only: {
    state: 'suspect',
    serves: 'last',
    hint: 'It embeds and generates nothing: embeddings go there, chat only if nothing else can serve.',
  },
  live_failure: {
    state: 'suspect',
    serves: 'last',
    hint: 'A live request failed there. A probe decides; where none is sent, the next request.',
  },
  wedged: {
    state: 'ejected',
    serves: 'no',
    hint: 'It accepts requests and generates nothing. Restart the engine.',
  },
  refused: {
    state: 'ejected',
    serves: 'no',
    hint: 'Nothing listens at its address. Start the engine, or check the URL.',
  },
  unreachable: {
    state: 'ejected',
    serves: 'no',
    hint: 'No connection, or it is dropped before an answer. Check the address and the network.',
  },
  http_5xx: {
    state: 'ejected',
    serves: 'no',
    hint: 'The engine answers a generation with a server error. See its log.',
  },
  invalid_response: {
    state: 'ejected',
    serves: 'no',
    hint: 'Its answer to a generation is not valid. Check that it is an OpenAI-compatible server.',
  },
  truncated: {
    state: 'ejected',
    serves: 'no',
    hint: 'Its answers end before they are complete. See the log of the engine.',
  },
  hold_down: {
    state: 'ejected',
    serves: 'no',
    hint: 'It works again after failing more than once. It is admitted when the hold-down ends.',
  },
  model_not_found: {
    state: 'misconfigured',
    serves: 'no',
    hint: 'It does not know the model. Set GENGATE_<NAME>_MODEL to a name that it lists.',
  },
  unauthorized: {
    state: 'misconfigured',
    serves: 'no',
    hint: 'It refuses our key. Set GENGATE_<NAME>_API_KEY.',
  },
  bad_request: {
    state: 'misconfigured',
    serves: 'no',
    hint: 'It refuses the probe as a bad request. Check GENGATE_<NAME>_ENGINE and _MODEL.',
  },
  wrong_kind: {
    state: 'misconfigured',
    serves: 'no',
    hint: 'It has no generation route that we know. Check GENGATE_<NAME>_URL and _ENGINE.',
  },
} as const satisfies Record<string, ReasonRow>

/** Reasons that evidence alone can give; the others are intents. */
export type EvidenceReason = keyof typeof EVIDENCE
export type Reason = EvidenceReason | IntentReason

/** All reasons. */
export const REASONS: Readonly<Record<Reason, ReasonRow>> = { ...EVIDENCE, ...intentReasons() }

/** Is this a reason that evidence can give? */
export function isEvidence(reason: string): reason is EvidenceReason {
  return Object.hasOwn(EVIDENCE, reason)
}
