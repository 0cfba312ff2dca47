import { z } from 'zod'

/** What the parent tells the child at its start, as one argument in JSON. */
export interface ChildOptions {
  /** Path of a GGUF; null: the toy. */
  readonly modelPath: string | null
  /** Where the toy is kept. */
  readonly cacheDir: string
  /** Port on 127.0.0.1; 0: any. One that is taken is replaced by any. */
  readonly port: number
  /** What to import as llama.cpp. */
  readonly moduleName: string
}

/** What the child tells its parent, once. */
const MESSAGE = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('ready'),
    port: z.number(),
    model: z.string(),
    kind: z.enum(['toy', 'gguf']),
  }),
  /** It exits with the code of the failure; this is its cause. */
  z.object({ type: z.literal('failed'), cause: z.string() }),
])
export type ChildMessage = z.infer<typeof MESSAGE>

/** A message of the child, or null for anything else that comes over the channel. */
export function readMessage(value: unknown): ChildMessage | null {
  return MESSAGE.safeParse(value).data ?? null
}

/** Why the child gives up at start. Another start would end the same way, so the parent does not try
 *  again. */
export const FAILURES = ['package_absent', 'no_binary', 'bad_model', 'cache_unwritable'] as const
export type FailureCode = (typeof FAILURES)[number]

/** Their exit codes begin here: clear of Node's own (1 to 13) and of signals (128 up). */
const EXIT_CODES_FROM = 64

/** The exit code that stands for a failure. */
export function exitCodeOf(code: FailureCode): number {
  return EXIT_CODES_FROM + FAILURES.indexOf(code)
}

/** A start that cannot succeed; `message` says why in the words of the cause. */
export class Failure extends Error {
  readonly code: FailureCode
  constructor(code: FailureCode, message: string) {
    super(message)
    this.code = code
  }
}

/** The failure that an exit code stands for, or null. */
export function failureOfExitCode(exitCode: number | null): FailureCode | null {
  return FAILURES[(exitCode ?? 0) - EXIT_CODES_FROM] ?? null
}

/** What the operator reads: what happened and what to do about it. `cause` may be empty. */
export function failureText(code: FailureCode, cause: string): string {
  const detail = cause === '' ? '' : ` (${cause})`
  const texts: Record<FailureCode, string> = {
    package_absent: `node-llama-cpp is not installed. Run \`npm install node-llama-cpp@3.21.1\` beside gengate to get it, or set GENGATE_EMBEDDED=off to silence this.`,
    no_binary: `node-llama-cpp does not work on this machine${detail}. Start an engine of your own, or set GENGATE_EMBEDDED=off to silence this.`,
    bad_model: cause === '' ? 'the model cannot be loaded. Check GENGATE_EMBEDDED.' : cause,
    cache_unwritable: `the toy model cannot be written${detail}. Set XDG_CACHE_HOME to a writable folder, or GENGATE_EMBEDDED to a GGUF's path.`,
  }
  return `embedded engine: ${texts[code]}`
}

/** What an error says. */
export function whyOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
