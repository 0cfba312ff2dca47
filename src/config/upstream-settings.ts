import {
  COLD_POLICIES,
  INTENT_NAMES,
  INTENTS,
  PLAIN_SPEC,
  PROBE_MODES,
  STREAM_ENDS,
  SWAP_POLICIES,
} from '../core/upstream.ts'
import { ENGINE_KINDS } from '../engines/index.ts'
import { commandLine } from './command-line.ts'
import {
  anyText,
  milliseconds,
  oneOf,
  type RowValue,
  type SettingRow,
  type ValuesOf,
  wholeNumber,
} from './types.ts'
import { apiKey, upstreamUrl } from './values.ts'

const SECOND = 1_000
const DAY = 86_400 * SECOND

/** The settings of one upstream, `GENGATE_<NAME>_<FIELD>`. */
export const UPSTREAM_FIELDS = {
  URL: {
    type: upstreamUrl,
    derived: 'by name and engine, see below',
    doc: 'Base URL, with or without `/v1`. The port must be written for `http`.',
  },
  ENGINE: {
    type: oneOf(ENGINE_KINDS),
    derived: 'from the name, else `openai`',
    doc: `What runs there: ${ENGINE_KINDS.map((kind) => `\`${kind}\``).join(', ')}.`,
  },
  MODEL: {
    type: anyText,
    derived: 'discovered',
    doc: 'The model that a request without one means there, by the name that the upstream knows. Unset: the only one that generates, what the engine itself takes, the one in memory, the last that generated, the smallest, the first.',
  },
  API_KEY: {
    type: apiKey,
    secret: true,
    doc: 'Key that is sent to this upstream only.',
  },
  API_KEY_FILE: {
    type: anyText,
    doc: 'File that holds that key.',
  },
  ADMIN: {
    key: 'intent',
    type: oneOf(INTENT_NAMES),
    default: PLAIN_SPEC.intent,
    doc: `${INTENT_NAMES.map((name) => INTENTS[name].doc).join('; ')}.`,
  },
  PROBE: {
    key: 'probe',
    type: oneOf(PROBE_MODES),
    default: PLAIN_SPEC.probe,
    doc: '`active`: it is probed. `passive`: no probes; until it has proved itself it serves last. `off`: no probes; it counts as eligible until requests fail there.',
  },
  COLD: {
    key: 'cold',
    type: oneOf(COLD_POLICIES),
    default: PLAIN_SPEC.cold,
    doc: 'May the request of a client load a model that is not in memory? `on_demand`: if no other upstream is eligible. `never`: no.',
  },
  SWAPS: {
    key: 'swaps',
    type: oneOf(SWAP_POLICIES),
    default: PLAIN_SPEC.swaps,
    doc: 'May a server of kind `openai` load or swap the models that it lists? `auto`: if it lists several and `_MODEL` is unset. `yes`, `no`: it does, it does not.',
  },
  STREAM_END: {
    key: 'streamEnd',
    type: oneOf(STREAM_ENDS),
    default: PLAIN_SPEC.streamEnd,
    doc: 'What ends its streams: `finish_reason`, a reason for every choice; `done`, `[DONE]` alone; `auto`, for `openai` and `llamaswap`: `[DONE]` until one of its streams has carried a reason, for all other engines a reason.',
  },
  MAX_CONCURRENCY: {
    key: 'maxConcurrency',
    type: wholeNumber(1, 100_000),
    doc: 'Requests in flight there at most. Above it a request goes to the next upstream or waits. Unset: no cap.',
  },
  GGUF: {
    key: 'gguf',
    type: anyText,
    doc: 'Path of the model file that `gengate run llamacpp` serves.',
  },
  RUN: {
    key: 'run',
    type: commandLine,
    // Engines take keys as arguments.
    secret: true,
    doc: 'Command line of its engine: the gate starts it and restarts it when it is dead or wedged (`docs/supervisor.md`). Words as in a shell, `NAME=value` in front sets variables, but no shell runs. Unset: the engine is not the business of the gate.',
  },
  IDLE_STOP_MS: {
    key: 'idleStopMs',
    type: milliseconds(SECOND, 7 * DAY),
    doc: 'Start that engine at the first request that needs it, and stop it after so long without one. Needs `_RUN`. Unset: it runs all the time.',
  },
} as const satisfies Record<string, SettingRow>

export type FieldName = keyof typeof UPSTREAM_FIELDS
export type FieldValue<Field extends FieldName> = RowValue<(typeof UPSTREAM_FIELDS)[Field]>
/** The settings of one upstream that are taken as they are. */
export type FieldValues = ValuesOf<typeof UPSTREAM_FIELDS>
