// Goal: what a shell offers is what the program takes. Method: the scripts are read by a real bash;
// those of zsh and fish, which a machine may not have, are compared with the table.
import { execFile } from 'node:child_process'
import t from 'tap'
import {
  type CommandRow,
  commandRows,
  commandsBelow,
  completionScript,
  SHELLS,
} from '../../../src/cli/commands/completion.ts'
import { COMMANDS, PROGRAM } from '../../../src/cli/commands/index.ts'
import { gengate } from '../recorded-io.ts'

/** The table of the real program. */
const ROWS = commandRows({ ...PROGRAM, below: COMMANDS })

function bash(args: string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('bash', ['--norc', '--noprofile', ...args], { cwd }, (error, stdout, stderr) =>
      error === null && stderr === '' ? resolve(stdout) : reject(new Error(stderr)),
    )
  })
}

t.test('commandRows() is the program as its help shows it', async (t) => {
  for (const { path, options } of ROWS) {
    const { out } = await gengate([...path.slice(1), '--help'])
    for (const { names, summary } of path.length === 1 ? [] : options) {
      t.match(out.replaceAll(/\s+/g, ' '), names.join(', '))
      t.match(out.replaceAll(/\s+/g, ' '), summary)
    }
  }
  const paths = ROWS.map(({ path }) => path.join(' '))
  t.match(paths, ['gengate', 'gengate serve'])
  for (const path of ['gengate config check', 'gengate completion', 'gengate explain']) {
    t.ok(paths.includes(path), path)
  }
  const [root] = ROWS
  if (root === undefined) throw new Error('unreachable')
  t.ok(commandsBelow(ROWS, root).every(({ path }) => path.length === 2))
  const names = root.options.flatMap((option) => option.names)
  t.same(
    names.filter((name) => name === '--help' || name === '--upstream'),
    ['--help', '--upstream'],
    'the options of serve too, none of them twice',
  )
  const status = ROWS.find(({ path }) => path[1] === 'status')
  t.match(
    status?.options.map(({ names: [first], value }) => [first, value]),
    [
      ['--envfile', 'file'],
      ['--watch', 'none'],
      ['--interval', 'any'],
      ['--json', 'none'],
      ['--verbose', 'none'],
      ['-h', 'none'],
    ],
  )
  t.match(ROWS.find(({ path }) => path[1] === 'completion')?.choices, SHELLS)
})

t.test('the bash script completes in a real bash', async (t) => {
  const { out: script } = await gengate('completion bash')
  const cwd = t.testdir({ 'gate.env': '', 'completion.bash': `${script}\n` })
  t.equal(await bash(['-n', 'completion.bash'], cwd), '')
  const complete = async (...words: string[]): Promise<string[]> => {
    const line = words.map((word) => `'${word}'`).join(' ')
    const query = [
      'eval "$(cat completion.bash)"',
      `COMP_WORDS=(gengate ${line}) COMP_CWORD=${words.length}`,
      '$(complete -p gengate | sed "s/.* -F \\([^ ]*\\) .*/\\1/")',
      '(( ${#COMPREPLY[@]} )) && printf "%s\\n" "${COMPREPLY[@]}" || :',
    ]
    return (await bash(['-c', query.join('\n')], cwd)).split('\n').filter((word) => word !== '')
  }
  const table: [line: string, offered: string[]][] = [
    ['st', ['status']],
    ['--up', ['--upstream']],
    ['config ', ['check', 'print', '-h', '--help']],
    ['config check --', ['--envfile', '--env-file', '--json', '--help']],
    ['completion ', [...SHELLS, '-h', '--help']],
    ['status --json --w', ['--watch']],
    ['status --int', ['--interval']],
    ['probe --url ', []],
    ['probe vllm_cpu --ti', ['--timeout']],
    ['serve --envfile gate', ['gate.env']],
    ['serve --envfile = gate', ['gate.env']],
    ['doctor x', []],
  ]
  for (const [line, offered] of table) t.same(await complete(...line.split(' ')), offered, line)
  t.ok((await complete('')).includes('explain'))
})

t.test('every script names each command, option and choice, and no quote stays open', async (t) => {
  const rows: CommandRow[] = [
    ...ROWS,
    { path: ['gengate', 'odd'], summary: "it's odd", options: [], choices: [] },
  ]
  for (const shell of SHELLS) {
    const script = completionScript(shell, rows)
    for (const { path, options, choices } of rows) {
      const flags = options.flatMap(({ names }) => names)
      const shown = shell === 'fish' ? flags.map((flag) => flag.replace(/^-+/, '')) : flags
      for (const word of [path.at(-1) ?? '', ...shown, ...choices]) {
        t.ok(script.includes(word), `${shell}: ${word}`)
      }
    }
    t.notMatch(script, /undefined|\[object/)
    // Read as a POSIX shell reads quotes; comments here have none.
    const outside = script.replaceAll("'\\''", '').replaceAll(/'[^']*'/g, '')
    t.notMatch(outside.replaceAll('"', ''), "'", shell)
  }
})
