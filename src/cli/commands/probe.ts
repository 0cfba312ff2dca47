import { legacyProbeReason, outcomeLabel, type ProbeOutcome } from '../../core/health/evidence.ts'
import { REASONS } from '../../core/health/reason.ts'
import { isoTime } from '../../runtime/clock.ts'
import {
  type CommandSpec,
  ENV_FILE,
  WATCH,
  type WatchFlags,
  watchUntilStopped,
  withConfig,
  withGate,
  type World,
} from '../command.ts'
import { type CliIo, EXIT, paint } from '../io.ts'
import {
  type ProbeFinding,
  probeOnce,
  type ProbeOnce,
  type ProbeTarget,
  refusalText,
} from '../probe-once.ts'
import { targetOfClients, targetOfGate, targetOfUrl, targetsOfNames } from '../targets.ts'
import { type Look, printLook } from '../watch.ts'

interface ProbeFlags extends WatchFlags {
  readonly url?: string
  /** Seconds. */
  readonly timeout: number
}

export const probe: CommandSpec = {
  name: 'probe',
  summary: 'make servers generate one token, and say whether they did',
  examples: `Examples:
  gengate probe                           what clients use (see below)
  gengate probe vllm_cpu ollama           these configured upstreams
  gengate probe --url http://127.0.0.1:8001 --timeout 60
  gengate probe --json; echo "exit=$?"    0 it generates, 1 it does not
  gengate probe ollama --watch            again and again, until Ctrl-C

Clients use SYSTEM2_VLLM_BASE_URL, else OPENCLAW_VLLM_BASE_URL, else the
gate's own port.`,
  args: [{ name: '[name...]', summary: 'configured upstreams; none: what clients use' }],
  options: [
    ENV_FILE,
    ...WATCH,
    { flags: '--url <url>', summary: 'ask this server instead' },
    {
      flags: '--timeout <seconds>',
      summary: 'how long a generation may take',
      takes: { secondsFrom: 0 },
      default: 5,
    },
    { flags: '--json', summary: 'print the status artefact' },
  ],
  run([names]: readonly [readonly string[]], flags: ProbeFlags, world: World) {
    const { io } = world
    const ask: ProbeOnce = (target, timeoutMs, signal) =>
      probeOnce(target, timeoutMs, io.clock, signal)
    const toProbe = (wanted: Wanted): Promise<number> => probeAll(wanted, flags, { world, ask })
    if (flags.url !== undefined) {
      const both = 'name upstreams, or give --url, not both.'
      return toProbe(names.length > 0 ? both : targetOfUrl(flags.url))
    }
    if (names.length > 0) {
      return withConfig(io, flags, (config) => toProbe(targetsOfNames(names, config)))
    }
    const clients = targetOfClients(io.env)
    if (clients !== null) return toProbe(clients)
    return withGate(io, flags, (gate) => toProbe(targetOfGate(gate)))
  },
}

/** Whom to probe; a text: why that cannot be told. */
type Wanted = ProbeTarget | readonly ProbeTarget[] | string

/** One real generation per target, at the same time. Exit 0 when every one generates, else 1; a
 *  watch ends as its last look would, and with 1 before there was any. */
export async function probeAll(
  wanted: Wanted,
  flags: ProbeFlags,
  {
    world,
    ask,
  }: { readonly world: Parameters<typeof watchUntilStopped>[2]; readonly ask: ProbeOnce },
): Promise<number> {
  const { io } = world
  if (typeof wanted === 'string') {
    io.err(`gengate: ${wanted}`)
    return EXIT.usage
  }
  const targets = [wanted].flat()
  const look = async (signal?: AbortSignal): Promise<Look> => {
    const asked = targets.map((target) => ask(target, flags.timeout * 1_000, signal))
    return lookOf(await Promise.all(asked), io)
  }
  if (flags.watch !== true) return printLook(await look(), flags, io)
  return (await watchUntilStopped(look, flags, world))?.code ?? EXIT.failed
}

function lookOf(findings: readonly ProbeFinding[], io: CliIo): Look {
  const passed = findings.every(({ outcome }) => outcome.kind === 'pass')
  return {
    code: passed ? EXIT.ok : EXIT.failed,
    lines: findings.map((finding) => coloured(io, finding)),
    problems: [],
    document: probeDocument(findings),
    key: JSON.stringify(findings.map((finding) => [findingLabel(finding), finding.models])),
  }
}

function coloured(io: CliIo, finding: ProbeFinding): string {
  const colour = finding.outcome.kind === 'pass' ? 'green' : 'red'
  return probeLine(finding).replace(/^\w+/, (word) => paint(io, colour, word))
}

/** Version of the artefact's fields: they are added, never changed. */
const ARTEFACT_VERSION = 1

/**
 * The status artefact that operators' scripts read (`type: "vllm_status"`), with our fields after
 * theirs. No key stands in it. Pure.
 */
export function probeArtefact(finding: ProbeFinding): Record<string, unknown> {
  const { target, models, outcome } = finding
  const generates = outcome.kind === 'pass'
  const [error, hint] = generates ? [null, null] : failureOf(outcome, finding)
  return {
    version: ARTEFACT_VERSION,
    type: 'vllm_status',
    ts: isoTime(finding.endedAtMs),
    base_url: `${target.url}/v1`,
    healthy: models !== null,
    models: models ?? [],
    inference_ok: generates,
    generation_probe_ok: generates,
    generation_probe_reason: legacyProbeReason(outcome),
    error,
    upstream: target.upstream,
    engine: target.engine,
    latency_ms: generates ? Math.round(outcome.latencyMs) : null,
    tokens: generates ? outcome.tokens : null,
    outcome: findingLabel(finding),
    hint,
  }
}

/** The outcome in one word: a gate's own code where it refused, else that of the probe. Pure. */
function findingLabel({ outcome, refusal }: ProbeFinding): string {
  return refusal?.code ?? outcomeLabel(outcome)
}

/** One artefact for the first, and all of them under `upstreams` when several were asked. Pure. */
export function probeDocument(findings: readonly ProbeFinding[]): Record<string, unknown> {
  const artefacts = findings.map(probeArtefact)
  const [first = {}] = artefacts
  return artefacts.length > 1 ? { ...first, upstreams: artefacts } : first
}

/** One readable line: verdict, whom, where, what. Pure. */
export function probeLine(finding: ProbeFinding): string {
  const { target, models, outcome } = finding
  const where = `${target.upstream === null ? '' : `${target.upstream}  `}${target.url}/v1`
  if (outcome.kind !== 'pass') {
    return `fail  ${where}  ${failureOf(outcome, finding).join(' ')}`.trimEnd()
  }
  const tokens = outcome.tokens === 1 ? '1 token' : `${outcome.tokens} tokens`
  const listed = models?.join(', ') || 'none listed'
  const took = Math.round(outcome.latencyMs)
  return `ok  ${where}  generated ${tokens} in ${took} ms (models: ${listed})`
}

/** What went wrong, in one sentence, and what to do about it. A gate that refused says it itself, and has
 *  named the reasons already. */
function failureOf(
  outcome: Exclude<ProbeOutcome, { kind: 'pass' }>,
  { target, refusal }: ProbeFinding,
): readonly [what: string, todo: string] {
  if (refusal !== undefined) return [refusalText(refusal), '`gengate status` shows more.']
  switch (outcome.kind) {
    case 'embeds':
      return ['embeddings_only: it embeds and generates nothing.', REASONS.embeddings_only.hint]
    case 'timeout':
      return [
        `timeout: nothing was generated within ${outcome.limitMs / 1000} s.`,
        'It is wedged, or slower than --timeout: try a longer one, else restart the engine.',
      ]
    case 'busy':
      return [`busy: it refuses for load (${outcome.detail}).`, 'Try again when it has less to do.']
    case 'cold':
      return ['model_not_loaded: no model is in memory.', 'The first request loads it.']
    case 'inconclusive':
      return [`inconclusive: ${outcome.detail}.`, '']
    case 'fail': {
      const name = target.upstream?.toUpperCase() ?? '<NAME>'
      const todo = REASONS[outcome.reason].hint.replaceAll('<NAME>', name)
      return [`${outcome.reason}: ${outcome.detail}.`, todo]
    }
  }
}
