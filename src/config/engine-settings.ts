import { parseCommandLine } from './command-line.ts'
import { anyText, parsedBy, type SettingRow, wholeNumber } from './types.ts'

const SECOND = 1_000
const DAY = 86_400 * SECOND

/** The settings of one upstream whose engine is started here. */
export const ENGINE_FIELDS = {
  GGUF: {
    group: 'One upstream',
    type: anyText,
    doc: 'Path of the model file that `gengate run llamacpp` serves.',
  },
  RUN: {
    group: 'One upstream',
    type: parsedBy(parseCommandLine),
    // Engines take keys as arguments.
    secret: true,
    doc: 'Command line of its engine: the gate starts it and restarts it when it is dead or wedged (`docs/supervisor.md`). Words as in a shell, `NAME=value` in front sets variables, but no shell runs. Unset: the engine is not the business of the gate.',
  },
  IDLE_STOP_MS: {
    group: 'One upstream',
    type: wholeNumber(SECOND, 7 * DAY),
    doc: 'Start that engine at the first request that needs it, and stop it after so long without one. Needs `_RUN`. Unset: it runs all the time.',
  },
} as const satisfies Record<string, SettingRow>
