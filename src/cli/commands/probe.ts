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
  type GateRefusal,
  type ProbeFinding,
  probeOnce,
  type ProbeOnce,
  type ProbeTarget,
  refusalText,
} from '../probe-once.ts'
import {
  targetOfClients,
  targetOfGate,
  targetOfUrl,
  type Targets,
  targetsOfNames,
} from '../targets.ts'
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
    const toProbe = (targets: Targets): Promise<number> => probeAll(targets, flags, { world, ask })
    if (flags.url !== undefined) {
      const both = { ok: false, message: 'name upstreams, or give --url, not both.' } as const
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

/** One real generation per target, at the same time. Exit 0 when every one generates, else 1; a
 *  watch ends as its last look would, and with 1 before there was any. */
export async function probeAll(
  wanted: Targets,
  flags: ProbeFlags,
  {
    world,
    ask,
  }: { readonly world: Parameters<typeof watchUntilStopped>[2]; readonly ask: ProbeOnce },
): Promise<number> {
  const { io } = world
  if (!wanted.ok) {
    io.err(`gengate: ${wanted.message}`)
    return EXIT.usage
  }
  const { targets } = wanted
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
  const line = probeLine(finding)
  const word = finding.outcome.kind === 'pass' ? 'ok' : 'fail'
  return paint(io, word === 'ok' ? 'green' : 'red', word) + line.slice(word.length)
}

/** Version of the artefact's fields: they are added, never changed. */
const ARTEFACT_VERSION = 1

/**
 * The status artefact that operators' scripts read (`type: "vllm_status"`), with our fields after
 * theirs. No key stands in it. Pure.
 */
export function probeArtefact(finding: ProbeFinding): Record<string, unknown> {
  const { target, models, outcome, refusal } = finding
  const generates = outcome.kind === 'pass'
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
    error: generates ? null : whatFailed(outcome, refusal),
    upstream: target.upstream,
    engine: target.engine,
    latency_ms: generates ? Math.round(outcome.latencyMs) : null,
    tokens: generates ? outcome.tokens : null,
    outcome: findingLabel(finding),
    hint: generates ? null : adviceOf(outcome, finding),
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
export function probeLine({ target, models, outcome, refusal }: ProbeFinding): string {
  const name = target.upstream === null ? '' : `${target.upstream}  `
  const head = `${outcome.kind === 'pass' ? 'ok' : 'fail'}  ${name}${target.url}/v1  `
  if (outcome.kind !== 'pass')
    return `${head}${whatFailed(outcome, refusal)} ${adviceOf(outcome, { target, refusal })}`.trimEnd()
  const tokens = outcome.tokens === 1 ? '1 token' : `${outcome.tokens} tokens`
  const listed = models === null || models.length === 0 ? 'none listed' : models.join(', ')
  return `${head}generated ${tokens} in ${Math.round(outcome.latencyMs)} ms (models: ${listed})`
}

/** The gate's message has named the reasons already. */
const GATE_HINT = '`gengate status` shows more.'

/** What went wrong, in one sentence; a gate's own words where it refused. */
function whatFailed(
  outcome: Exclude<ProbeOutcome, { kind: 'pass' }>,
  refusal: GateRefusal | undefined,
): string {
  if (refusal !== undefined) return refusalText(refusal)
  switch (outcome.kind) {
    case 'embeds':
      return 'embeddings_only: it embeds and generates nothing.'
    case 'timeout':
      return `timeout: nothing was generated within ${outcome.limitMs / 1000} s.`
    case 'busy':
      return `busy: it refuses for load (${outcome.detail}).`
    case 'cold':
      return 'model_not_loaded: no model is in memory.'
    case 'inconclusive':
      return `inconclusive: ${outcome.detail}.`
    case 'fail':
      return `${outcome.reason}: ${outcome.detail}.`
  }
}

/** What to do about it; a gate that refused has told it. */
function adviceOf(
  outcome: Exclude<ProbeOutcome, { kind: 'pass' }>,
  { target, refusal }: { readonly target: ProbeTarget; readonly refusal?: GateRefusal | undefined },
): string {
  return refusal === undefined ? hintFor(outcome, target) : GATE_HINT
}

/** What to do about it, from the table of reasons. */
function hintFor(
  outcome: Exclude<ProbeOutcome, { kind: 'pass' }>,
  { upstream }: ProbeTarget,
): string {
  switch (outcome.kind) {
    case 'embeds':
      return REASONS.embeddings_only.hint
    case 'timeout':
      return 'It is wedged, or slower than --timeout: try a longer one, else restart the engine.'
    case 'busy':
      return 'Try again when it has less to do.'
    case 'cold':
      return 'The first request loads it.'
    case 'inconclusive':
      return ''
    case 'fail':
      return REASONS[outcome.reason].hint.replaceAll(
        '<NAME>',
        upstream === null ? '<NAME>' : upstream.toUpperCase(),
      )
  }
}
