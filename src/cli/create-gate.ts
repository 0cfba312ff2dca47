import type { AppIo } from '../app-io.ts'
import type { Config } from '../config/config.ts'
import { systemRandom } from '../runtime/random.ts'
import type { CliIo } from './io.ts'
import type { Gate } from './commands/serve.ts'

/** What the gate of `serve` is made from. */
export interface GateParts {
  readonly io: CliIo
  readonly version: string
  /** Is stderr a terminal? Then log lines are for people. */
  readonly terminal: boolean
  /** Hears of engines of the gate that ended by themselves. */
  readonly onDeath?: AppIo['onDeath']
}

/** File descriptor of stderr: log lines are diagnostics, stdout is for data. */
const STDERR = 2

/** Builds the gate with its log. Its parts are loaded here, by the one command that needs them. */
export async function createGate(config: Config, parts: GateParts): Promise<Gate> {
  const [{ createApp }, { openLog }] = await Promise.all([
    import('../app.ts'),
    import('../telemetry/log.ts'),
  ])
  const { io, version, terminal } = parts
  const { clock } = io
  const color = terminal && (io.env['NO_COLOR'] ?? '') === ''
  const log = openLog({ level: config.logLevel, clock, tty: terminal, color, to: STDERR })
  const { onDeath } = parts
  const app = createApp(config, { clock, random: systemRandom, version, log, env: io.env, onDeath })
  return {
    listen: () => app.listen(),
    reload: (result) => app.reload(result),
    async close(options) {
      await app.close(options)
      await log.close()
    },
  }
}
