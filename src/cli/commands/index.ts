import type { CommandSpec } from '../command.ts'
import { completion } from './completion.ts'
import { config } from './config.ts'
import { diag } from './diag.ts'
import { doctor } from './doctor.ts'
import { explain } from './explain.ts'
import { probe } from './probe.ts'
import { run } from './run.ts'
import { serve } from './serve.ts'
import { status } from './status.ts'
import { wait } from './wait.ts'

/** The program itself. */
export const PROGRAM: CommandSpec = {
  name: 'gengate',
  summary:
    'one base URL in front of your local LLM servers: forwards /v1/* to whichever really generates now',
  examples: `Examples:
  gengate                                    run the gate on 127.0.0.1:8000
  gengate probe --url http://127.0.0.1:8001  does this server generate?
  gengate status                             which upstream serves, and why
  gengate explain                            why would a request go there?
  gengate run ollama --gate                  start an engine, and the gate
  gengate doctor                             what could be wrong here?`,
}

/** What `gengate` alone means. */
export const DEFAULT_COMMAND = serve.name

/** All commands, in the order of the help. */
export const COMMANDS: readonly CommandSpec[] = [
  serve,
  run,
  probe,
  diag,
  status,
  explain,
  wait,
  doctor,
  config,
  completion,
]
