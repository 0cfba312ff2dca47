import type { Command, Option } from 'commander'

/** One option of a command, as a shell completes it. */
export interface OptionRow {
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

/**
 * The program's own command table: the program first, then its subcommands, each before its own.
 * The program alone takes the options of `defaultCommand`, too. Pure.
 */
export function commandRows(program: Command, defaultCommand: string): CommandRow[] {
  const meant = program.commands.find((command) => command.name() === defaultCommand)
  const [root, ...rest] = rowsOf(program, [])
  if (root === undefined || meant === undefined) return []
  const known = new Set(root.options.flatMap(({ names }) => names))
  const more = optionsOf(meant).filter(({ names }) => !names.some((name) => known.has(name)))
  return [{ ...root, options: [...root.options, ...more] }, ...rest]
}

/** The commands right below this one. Pure. */
export function commandsBelow(rows: readonly CommandRow[], { path }: CommandRow): CommandRow[] {
  return rows.filter(
    (row) =>
      row.path.length === path.length + 1 && path.every((name, index) => row.path[index] === name),
  )
}

function rowsOf(command: Command, above: readonly string[]): CommandRow[] {
  const path = [...above, command.name()]
  const row: CommandRow = {
    path,
    summary: command.summary(),
    options: optionsOf(command),
    choices: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
  }
  return [row, ...command.commands.flatMap((below) => rowsOf(below, path))]
}

function optionsOf(command: Command): OptionRow[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .map((option) => ({
      names: [option.short, option.long].flatMap((name) => name ?? []),
      summary: option.description,
      value: valueOf(option),
    }))
}

function valueOf({ flags, required, optional }: Option): OptionRow['value'] {
  if (!required && !optional) return 'none'
  return flags.endsWith('<path>') ? 'file' : 'any'
}
