import { delimiter, join } from 'node:path'
import type { StartSettings } from '../core/owned/process.ts'
import type { Command } from '../process/child.ts'

/** The engines that `gengate run` starts, by the names of their upstreams. */
export const RUNNABLE = ['vllm_cpu', 'vllm_metal', 'ollama', 'llamacpp'] as const
export type Runnable = (typeof RUNNABLE)[number]

/** Is this the name of an engine that can be started? */
export function isRunnable(name: string): name is Runnable {
  return RUNNABLE.some((known) => known === name)
}

/** What is on this machine. */
export interface Machine {
  /** Home directory of the user; empty: unknown. */
  readonly home: string
  /** Absolute path of a program, by its path or by its name on PATH; null: there is none. */
  readonly program: (nameOrPath: string) => string | null
  readonly isFile: (path: string) => boolean
}

/** Everything that a start line is made of. */
export interface StartInput {
  readonly settings: StartSettings
  /** The upstream of the same name: where the gate looks for this engine, and by which model. */
  readonly upstream: {
    readonly url: string
    readonly model: string | null
    readonly gguf: string | null
  }
  /** Port of the gate, which no engine may take; 0: any. */
  readonly gatePort: number
  /** Flags of the engine, as the operator wrote them after `--`: they replace ours. */
  readonly flags: readonly string[]
  readonly machine: Machine
}

/** How one engine is started. Plain data: `commandOf` says what to run. */
export interface StartLine {
  readonly engine: Runnable
  /** Absolute path of the program. */
  readonly command: string
  readonly args: readonly string[]
  /** Variables for the engine, besides those that it inherits. */
  readonly env: Readonly<Record<string, string>>
  /** Variables that mean something to us and something else, or nothing, to the engine. */
  readonly unset: readonly string[]
  /** Directory to put in front of PATH, as activating a virtual environment does; null: none. */
  readonly pathFirst: string | null
  /** Where it will listen. */
  readonly host: string
  readonly port: number
  /** What to know about this start, one sentence each. */
  readonly notes: readonly string[]
}

/** Why an engine cannot be started, and what to do: a person has to do something (exit 2). */
export interface StartIssue {
  readonly what: string
  readonly hint: string
}

export type Started =
  | { readonly ok: true; readonly line: StartLine }
  | { readonly ok: false; readonly issue: StartIssue }

/** Thrown where no start line can be made; caught by `startLine` only. */
export class Refused extends Error {
  readonly issue: StartIssue
  constructor(what: string, hint: string) {
    super(what)
    this.issue = { what, hint }
  }
}

/** A path as a shell would have it: it expands `~`, an env file does not. */
export function expand(path: string, { home }: Machine): string {
  return path === '~' || path.startsWith('~/') ? join(home, path.slice(1)) : path
}

/** What to run for a start line, in a process whose environment is `env`. Pure. */
export function commandOf(
  { command, args, unset, pathFirst, env: own }: StartLine,
  env: Readonly<Record<string, string | undefined>>,
): Command {
  const removed = Object.fromEntries(unset.map((name) => [name, undefined]))
  const path = pathFirst === null ? {} : { PATH: [pathFirst, env['PATH'] ?? ''].join(delimiter) }
  return { command, args, env: { ...removed, ...path, ...own } }
}

/** Words that a POSIX shell reads as they are; `~` and `=` are not among them at the start. */
const PLAIN = /^[\w@%+:,./-][\w@%+=:,./-]*$/

/** One word for a shell. Pure. */
export function shellWord(text: string): string {
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/**
 * The command line that does the same from a shell, on one line: variables, program, arguments.
 * Values of flags that hold a secret are replaced. Of
 * the variables to unset those are told that `isSet` knows. Pure.
 */
export function printLine(line: StartLine, isSet: (name: string) => boolean): string {
  const path = line.pathFirst === null ? [] : [`PATH=${shellWord(line.pathFirst)}:"$PATH"`]
  const variables = Object.entries(line.env).map(([name, value]) => `${name}=${shellWord(value)}`)
  const unset = line.unset.filter(isSet).flatMap((name) => ['-u', name])
  const all = [...path, ...variables]
  const before = unset.length > 0 || all.length > 0 ? ['env', ...unset, ...all] : []
  return [...before, ...[line.command, ...withoutSecrets(line.args)].map(shellWord)].join(' ')
}

/**
 * The value that the operator's own flags give to a flag of ours, `--port 1` or `--port=1`; the
 * last one counts, as in every engine here. Null: they do not give it; empty: it has no value.
 */
export function valueOf(flags: readonly string[], names: readonly string[]): string | null {
  let value: string | null = null
  for (const [index, flag] of flags.entries()) {
    const [name, inline] = split(flag)
    if (names.includes(name)) value = inline ?? flags[index + 1] ?? ''
  }
  return value
}

/** Pairs of a flag and its value, without those that the operator's own flags set. */
export function unlessSet(
  pairs: readonly (readonly [names: readonly string[], value: string | null])[],
  flags: readonly string[],
): string[] {
  return pairs.flatMap(([names, value]) =>
    value === null || valueOf(flags, names) !== null ? [] : [names[0] ?? '', value],
  )
}

/** vLLM reads `--max_model_len` as `--max-model-len` (FlexibleArgumentParser). */
function split(flag: string): [name: string, inline: string | null] {
  const at = flag.startsWith('--') ? flag.indexOf('=') : -1
  const name = at < 0 ? flag : flag.slice(0, at)
  return [
    name.startsWith('--') ? name.replaceAll('_', '-') : name,
    at < 0 ? null : flag.slice(at + 1),
  ]
}

/** Flags whose value is a secret: `--help` of llama-server b10434 and of vLLM 0.32.0. */
const SECRET =
  /^(--api-key|--hf-token|-hft|--ssl-keyfile-password|--(\w+-)*(token|password|secret))$/

/** The same words with secrets replaced, for whatever is printed. */
export function withoutSecrets(words: readonly string[]): string[] {
  let hiding = false
  return words.map((word) => {
    const [name, inline] = split(word)
    const isFlag = /^--?[a-zA-Z]/.test(word)
    if (isFlag) hiding = SECRET.test(name)
    if (isFlag) return hiding && inline !== null ? `${name}=${SECRET_SHOWN}` : word
    // vLLM takes several keys after one `--api-key`.
    return hiding ? SECRET_SHOWN : word
  })
}

/** Stands for a secret in what is printed. */
export const SECRET_SHOWN = '(secret)'
