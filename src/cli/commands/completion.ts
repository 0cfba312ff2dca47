import type { CommandSpec, OptionSpec, World } from '../command.ts'
import { EXIT } from '../io.ts'

/** Shells that we can complete in. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

export const completion: CommandSpec = {
  name: 'completion',
  summary: 'print a script that completes command lines',
  examples: `Examples:
  gengate completion bash                 the script, to look at it

Install it once, by the line for your shell:
  bash  echo 'eval "$(gengate completion bash)"' >> ~/.bashrc
  zsh   echo 'eval "$(gengate completion zsh)"' >> ~/.zshrc   (after compinit)
  fish  gengate completion fish > ~/.config/fish/completions/gengate.fish`,
  args: [{ name: '<shell>', summary: 'the shell that it is for', choices: SHELLS }],
  run([shell]: readonly [Shell], _flags: object, { io, table }: World) {
    io.out(completionScript(shell, table === undefined ? [] : commandRows(table)))
    return EXIT.ok
  },
}

/** One option of a command, as a shell completes it. */
interface OptionRow {
  /** `--json`, `-h`: every spelling. */
  readonly names: readonly string[]
  readonly summary: string
  /** What follows it: nothing, the path of a file, or something that only the user knows. */
  readonly value: 'none' | 'file' | 'any'
}

/** One command, as a shell completes it. */
export interface CommandRow {
  /** `['gengate', 'config', 'check']`. */
  readonly path: readonly string[]
  readonly summary: string
  readonly options: readonly OptionRow[]
  /** Words that its argument may be; empty: none, or any. */
  readonly choices: readonly string[]
}

/** Every command has it. */
const HELP = optionRow({ flags: '-h, --help', summary: 'display help for command' })
const VERSION = optionRow({ flags: '-V, --version', summary: 'print the version' })

/**
 * The table as the shells see it: the program first, then its commands, each before those below it. The
 * program alone takes the options of the command that it means without one, too. Pure.
 */
export function commandRows(program: CommandSpec, meant: string = 'serve'): CommandRow[] {
  const more = program.below?.find(({ name }) => name === meant)?.options ?? []
  const options = [VERSION, HELP, ...more.map(optionRow)]
  return rowsOf(program, []).map((row, index) => (index === 0 ? { ...row, options } : row))
}

/** The commands right below this one. Pure. */
export function commandsBelow(rows: readonly CommandRow[], { path }: CommandRow): CommandRow[] {
  return rows.filter((row) => row.path.slice(0, -1).join(' ') === path.join(' '))
}

function rowsOf(spec: CommandSpec, above: readonly string[]): CommandRow[] {
  const { name, summary, args = [], options = [], below = [] } = spec
  const path = [...above, name]
  const choices = args.flatMap((argument) => argument.choices ?? [])
  const row = { path, summary, options: [...options.map(optionRow), HELP], choices }
  return [row, ...below.flatMap((one) => rowsOf(one, path))]
}

function optionRow({ flags, summary }: OptionSpec): OptionRow {
  const value = flags.endsWith('<path>') ? 'file' : flags.endsWith('>') ? 'any' : 'none'
  return { names: flags.match(/(?<=^|[ ,])--?[a-z][a-z-]*/gi) ?? [], summary, value }
}

/** The script that completes our command lines in this shell, without a last newline. Pure. */
export function completionScript(shell: Shell, rows: readonly CommandRow[]): string {
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](rows)
}

/** Works with bash 3.2, which is what macOS has, and without the package bash-completion. */
function bashScript(rows: readonly CommandRow[]): string {
  const words = rows.map((row) => {
    const below = commandsBelow(rows, row).map(({ path }) => path.at(-1))
    const all = [...below, ...row.choices, ...row.options.flatMap(({ names }) => names)]
    return `    ${quoted(keyOf(row))}) words=${quoted(all.join('\n'))} ;;`
  })
  return `# Completion of gengate for bash. Install: eval "$(gengate completion bash)"
_gengate() {
  local IFS=$'\\n' at=gengate cur="\${COMP_WORDS[COMP_CWORD]}" prev words= i
  prev="\${COMP_WORDS[COMP_CWORD-1]}"
  # bash splits --option=value at its "=".
  if [ "$cur" = = ]; then cur=; fi
  if [ "$prev" = = ]; then prev="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
${descents(rows, 'at="$at ${COMP_WORDS[i]}"')}
    esac
  done
  COMPREPLY=()
  case "$at $prev" in
${valueCases(rows, 'COMPREPLY=($(compgen -f -- "$cur")); compopt -o filenames 2>/dev/null')}
  esac
  case "$at" in
${words.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _gengate gengate`
}

function zshScript(rows: readonly CommandRow[]): string {
  const items = rows.map((row) => {
    const below = commandsBelow(rows, row).map(({ path, summary }) => [path.at(-1), summary])
    const choices = row.choices.map((choice) => [choice, ''])
    const options = row.options.flatMap(({ names, summary }) => names.map((n) => [n, summary]))
    const all = [...below, ...choices, ...options].map(([word = '', summary = '']) =>
      quoted(summary === '' ? word : `${word}:${summary}`),
    )
    return `    ${quoted(keyOf(row))}) items=(${all.join(' ')}) ;;`
  })
  return `#compdef gengate
# Completion of gengate for zsh. Install: eval "$(gengate completion zsh)", after compinit.
_gengate() {
  local at=gengate i
  local -a items
  for ((i = 2; i < CURRENT; i++)); do
    case "$at \${words[i]}" in
${descents(rows, 'at="$at ${words[i]}"')}
    esac
  done
  case "$at \${words[CURRENT-1]}" in
${valueCases(rows, '_files')}
  esac
  case "$at" in
${items.join('\n')}
  esac
  _describe 'gengate' items
}
if [ "\${funcstack[1]}" = _gengate ]; then _gengate "$@"; else compdef _gengate gengate; fi`
}

function fishScript(rows: readonly CommandRow[]): string {
  return [
    '# Completion of gengate for fish.',
    '# Install: gengate completion fish > ~/.config/fish/completions/gengate.fish',
    'complete -c gengate -f',
    ...rows.flatMap((row) => {
      const here = `complete -c gengate -n ${quoted(fishCondition(rows, row))}`
      return [
        ...commandsBelow(rows, row).map(
          ({ path, summary }) => `${here} -a ${path.at(-1)} -d ${quoted(summary)}`,
        ),
        ...row.choices.map((choice) => `${here} -a ${quoted(choice)}`),
        ...row.options.map((option) => `${here} ${fishOption(option)}`),
      ]
    }),
  ].join('\n')
}

/** Holds where this command is being typed, and none below it yet. */
function fishCondition(rows: readonly CommandRow[], row: CommandRow): string {
  const seen = row.path.slice(1).map((name) => `__fish_seen_subcommand_from ${name}`)
  const below = commandsBelow(rows, row).map(({ path }) => path.at(-1))
  const unseen = below.length === 0 ? [] : [`not __fish_seen_subcommand_from ${below.join(' ')}`]
  return [...seen, ...unseen].join('; and ')
}

const FISH_VALUES: Readonly<Record<OptionRow['value'], string>> = {
  none: '',
  file: ' -r -F',
  any: ' -x',
}

function fishOption({ names, summary, value }: OptionRow): string {
  const flags = names.map((name) =>
    name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
  )
  return `${flags.join(' ')}${FISH_VALUES[value]} -d ${quoted(summary)}`
}

/** One arm that goes down to whichever subcommand is named. bash and zsh write it alike. */
function descents(rows: readonly CommandRow[], descend: string): string {
  const below = rows.filter(({ path }) => path.length > 1).map((row) => quoted(keyOf(row)))
  return `      ${below.join('|')}) ${descend} ;;`
}

/** Arms for what follows an option: files where it is one, else nothing that we could know. */
function valueCases(rows: readonly CommandRow[], files: string): string {
  const after = (kind: OptionRow['value']): string =>
    rows
      .flatMap((row) =>
        row.options
          .filter(({ value }) => value === kind)
          .flatMap(({ names }) => names.map((name) => quoted(`${keyOf(row)} ${name}`))),
      )
      .join('|')
  return `    ${after('file')}) ${files}; return ;;\n    ${after('any')}) return ;;`
}

function keyOf({ path }: CommandRow): string {
  return path.join(' ')
}

/** One word for any of these shells, whatever is in it; fish reads a backslash in quotes as bash
 *  does not, so none may be in `text`. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
