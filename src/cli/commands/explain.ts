import { explainDocument, explainLines } from '../explain-lines.ts'
import { explain, isServed } from '../explanation.ts'
import { askGate, type GatePlace, noStatusMessage, ownGate } from '../gate-client.ts'
import { type CliIo, EXIT, printJson } from '../io.ts'

/** Which request to explain, and how. */
export interface ExplainOptions {
  /** As a client would write it; null: a request without one. */
  readonly model: string | null
  readonly json: boolean
}

/** Says why the next request would go where it would go. Exit 0 when something would serve it. */
export async function showExplanation(
  config: GatePlace,
  { model, json }: ExplainOptions,
  io: CliIo,
): Promise<number> {
  const { origin, apiKey } = ownGate(config)
  const answer = await askGate(origin, apiKey, io)
  if (answer.kind !== 'status') {
    io.err(`gengate: ${noStatusMessage(origin, answer)}`)
    return EXIT.failed
  }
  const wallMs = io.clock.wallMs()
  const explanation = explain(answer.status, model, wallMs)
  if (json) printJson(io, explainDocument(explanation))
  else for (const line of explainLines(explanation, wallMs)) io.out(line)
  return isServed(explanation) ? EXIT.ok : EXIT.failed
}
