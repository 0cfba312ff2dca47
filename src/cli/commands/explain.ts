import { knownText } from '../../core/model/models.ts'
import { type CommandSpec, ENV_FILE, type JsonFlags, withGate, type World } from '../command.ts'
import { type Candidate, type Explanation, explanationOf, isServed } from '../explanation.ts'
import { askGate, ownGate } from '../gate-client.ts'
import { agoText, type UpstreamStatus } from '../gate-status.ts'
import { EXIT, printJson } from '../io.ts'

export const explain: CommandSpec = {
  name: 'explain',
  summary: 'say why the next request goes where it goes',
  examples: `Examples:
  gengate explain                         a request that names no model
  gengate explain default                 what clients of "default" get
  gengate explain qwen2.5:0.5b --json
  gengate explain; echo "exit=$?"         0 something serves it, 1 nothing`,
  args: [
    { name: '[model]', summary: 'as a client would write it; none: a request without a model' },
  ],
  options: [ENV_FILE, { flags: '--json', summary: 'print the decision as JSON' }],
  run: ([model = null]: readonly [(string | null)?], flags: JsonFlags, { io }: World) =>
    withGate(io, flags, async (gate) => {
      const answer = await askGate(ownGate(gate), io)
      if (answer.kind !== 'status') {
        io.err(`gengate: ${answer.message}`)
        return EXIT.failed
      }
      const wallMs = io.clock.wallMs()
      const explanation = explanationOf(answer.status, model, wallMs)
      if (flags.json === true) printJson(io, explainDocument(explanation))
      else for (const line of explainLines(explanation, wallMs)) io.out(line)
      return isServed(explanation) ? EXIT.ok : EXIT.failed
    }),
}

/** The explanation for people: the decision, then every upstream with what speaks against it.
 *  Pure. */
export function explainLines(explanation: Explanation, wallMs: number): string[] {
  const { candidates, others } = explanation
  return [
    ...decisionLines(explanation),
    ...candidates.flatMap((candidate, index) => [
      ...(index === 0 ? [''] : []),
      `${index + 1}. ${headOf(candidate.upstream, wallMs)}`,
      ...notesOf(candidate.upstream),
      ...(candidate.meaning === null ? [] : [`   ${candidate.meaning}`]),
      `   ${candidate.why === null ? takenText(candidate) : `Not taken: ${candidate.why}.`}`,
    ]),
    ...others.flatMap(({ upstream, why }, index) => [
      ...(index === 0 ? [''] : []),
      `-  ${headOf(upstream, wallMs)}`,
      ...saidOf(upstream),
      `   No candidate: ${why}.`,
    ]),
  ]
}

/** The same for programs. Pure. */
export function explainDocument(explanation: Explanation): Record<string, unknown> {
  const { model, decision, candidates, others, known } = explanation
  const taken = candidates.find(({ why }) => why === null)
  return {
    model,
    served: isServed(explanation),
    decision: decision.kind,
    summary: decisionLines(explanation).join(' '),
    upstream: taken?.upstream.name ?? null,
    tier: taken?.tier ?? null,
    mapped_to: taken?.mappedTo ?? null,
    known,
    candidates: candidates.map(({ upstream, tier, mappedTo, means, why }) => ({
      ...rowOf(upstream),
      tier,
      mapped_to: mappedTo,
      means,
      taken: why === null,
      why_not: why,
    })),
    others: others.map(({ upstream, why }) => ({ ...rowOf(upstream), why_not: why })),
  }
}

function decisionLines({ model, decision, candidates, known }: Explanation): string[] {
  const what = model === null ? 'A request that names no model' : `A request for "${model}"`
  switch (decision.kind) {
    case 'forward': {
      const taken = candidates.find(({ why }) => why === null)
      const { name, url } = decision.entry.spec
      return [`${what} goes to ${name} (${url}): it is ${taken?.upstream.state ?? 'eligible'}.`]
    }
    case 'wait_for_slot':
      return [`${what} waits for a slot: all that could serve it now are at their caps.`]
    case 'hold':
    // Only where something was tried, or where a route was asked for.
    case 'exhausted':
    case 'no_route':
      return [
        decision.kind === 'hold' && decision.starting
          ? `${what} is held while the first probes run, for GENGATE_HOLD_MS at most.`
          : `${what} finds nothing to serve it: held for GENGATE_HOLD_MS at most, then 503.`,
      ]
    case 'unknown_model':
      return [`${what} gets 404: no upstream knows the model.`, knownText(known)]
    case 'model_required':
      return [`${what} gets 400: no upstream has a model that it could mean.`, knownText(known)]
    case 'draining':
      return [`${what} is refused: this gate shuts down.`]
  }
}

function takenText({ mappedTo, upstream }: Candidate): string {
  const name = mappedTo === null ? 'the model name as it is' : `"${mappedTo}" as the model`
  return `Taken, with ${name}; ${upstream.in_flight} in flight.`
}

/** What its reason means, and the engine's own words where it has said any to a probe. */
function notesOf(upstream: UpstreamStatus): string[] {
  return [...(upstream.hint === '' ? [] : [`   ${upstream.hint}`]), ...saidOf(upstream)]
}

function saidOf({ said }: UpstreamStatus): string[] {
  return said === null ? [] : [`   It said to a probe: ${said}`]
}

function headOf({ name, state, reason, since }: UpstreamStatus, wallMs: number): string {
  const ago = agoText(since, wallMs)
  return `${name}: ${state}, ${reason}${ago === null ? '' : ` for ${ago}`}`
}

function rowOf(upstream: UpstreamStatus): Record<string, unknown> {
  const { name, url, state, reason, since, hint, said, in_flight, max_concurrency } = upstream
  return { upstream: name, url, state, reason, since, hint, said, in_flight, max_concurrency }
}
