import t from 'tap'
import type { CommandSpec } from '../../src/cli/command.ts'
import { COMMANDS, PROGRAM } from '../../src/cli/commands/index.ts'
import { run as runLine } from '../../src/cli/program.ts'
import { recordedIo, worldWith } from './recorded-io.ts'

/** Runs a command line; every command notes its arguments and flags, and ends with 7. */
async function run(...argv: string[]) {
  const io = recordedIo()
  const calls: unknown[] = []
  const noting = (spec: CommandSpec): CommandSpec => {
    const below = spec.below === undefined ? {} : { below: spec.below.map(noting) }
    const { run: own, ...rest } = spec
    if (own === undefined) return { ...rest, ...below }
    return {
      ...rest,
      run: (args: readonly unknown[], flags: object, world) => {
        calls.push([spec.name, ...args, ...(spec.name === 'run' ? [world.rest] : []), { ...flags }])
        return 7
      },
    }
  }
  const code = await runLine(argv, worldWith(io), COMMANDS.map(noting))
  return { code, calls, out: io.stdout.join('\n'), err: io.stderr.join('\n') }
}

t.test('run() hands each subcommand its flags, and its exit code back', async (t) => {
  const table: [line: string, call: unknown[]][] = [
    ['diag', ['diag', {}]],
    ['run', ['run', undefined, [], {}]],
    ['run ollama --gate --envfile f', ['run', 'ollama', [], { gate: true, envFile: 'f' }]],
    ['run llamacpp --json', ['run', 'llamacpp', [], { json: true, dryRun: true }]],
    [
      'run vllm_cpu --dry-run -- --port 1 -- -h',
      ['run', 'vllm_cpu', ['--port', '1', '--', '-h'], { dryRun: true }],
    ],
    ['run -- --gate x', ['run', undefined, ['--gate', 'x'], {}]],
    [
      'probe a b --json --timeout 0.5',
      ['probe', ['a', 'b'], { timeout: 0.5, json: true, interval: 2 }],
    ],
    ['probe --url http://x', ['probe', [], { timeout: 5, url: 'http://x', interval: 2 }]],
    ['status --json --env-file f', ['status', { json: true, envFile: 'f', interval: 2 }]],
    ['status --watch', ['status', { watch: true, interval: 2 }]],
    ['status --interval 0.5', ['status', { watch: true, interval: 0.5 }]],
    ['probe --watch --interval 30', ['probe', [], { timeout: 5, watch: true, interval: 30 }]],
    ['explain', ['explain', undefined, {}]],
    ['explain org/m --json', ['explain', 'org/m', { json: true }]],
    ['wait', ['wait', { timeout: 180 }]],
    ['wait --timeout 1.5 --model m', ['wait', { timeout: 1.5, model: 'm' }]],
    ['doctor --envfile f', ['doctor', { envFile: 'f' }]],
    ['config check --json', ['check', { json: true }]],
    ['config print', ['print', {}]],
  ]
  for (const [line, call] of table) {
    const { code, calls } = await run(...line.split(' '))
    t.same(calls, [call], line)
    t.equal(code, 7)
  }
})

t.test('run() takes serve where no subcommand is named', async (t) => {
  const upstream = ['http://a', 'b=http://b']
  const flags = ['--upstream', 'http://a', '--upstream', 'b=http://b']
  t.same((await run()).calls, [['serve', {}]])
  t.same((await run(...flags)).calls, [['serve', { upstream }]])
  t.same((await run('serve', ...flags)).calls, [['serve', { upstream }]])
})

t.test('run() answers wrong usage on stderr with a suggestion and exit 2', async (t) => {
  const table: [argv: string[], err: RegExp][] = [
    [['stauts'], /unknown command 'stauts'[^]*Did you mean status/],
    [['status', '--jso'], /unknown option '--jso'[^]*Did you mean --json/],
    [['--upstraem', 'x'], /unknown option '--upstraem'[^]*Did you mean --upstream/],
    [['config', 'prnit'], /unknown command 'prnit'[^]*Did you mean print/],
    [['config'], /Usage: gengate config/],
    [['probe', '--timeout', '0'], /above 0/],
    [['probe', '--timeout', ''], /above 0/],
    [['probe', '--timeout', 'soon'], /above 0/],
    [['probe', '--url'], /argument missing/],
    [['diag', 'more'], /too many arguments/],
    [['run', 'mlx'], /Allowed choices are vllm_cpu, vllm_metal, ollama, llamacpp/],
    [['run', 'ollama', '--port', '1'], /unknown option '--port'/],
    [['run', 'ollama', 'more'], /too many arguments/],
    [['explain', 'a', 'b'], /too many arguments/],
    [['wait', '--timeout', '4000'], /at most 3600/],
    [['probe', '--interval', '0.4'], /at least 0\.5/],
    [['status', '--interval', 'x'], /at least 0\.5/],
    [['completion'], /missing required argument 'shell'/],
    [['completion', 'tcsh'], /Allowed choices are bash, zsh, fish/],
  ]
  for (const [argv, err] of table) {
    const ended = await run(...argv)
    t.equal(ended.code, 2, argv.join(' '))
    t.match(ended.err, err)
    t.same([ended.out, ended.calls], ['', []], 'nothing else happens')
  }
})

t.test('run() prints version and help on stdout, with examples, and exits 0', async (t) => {
  for (const flag of ['--version', '-V']) {
    t.match(await run(flag), { code: 0, out: /^1\.2\.3$/, err: '', calls: [] })
  }
  const pages: [argv: string[], spec: CommandSpec][] = [
    [['--help'], PROGRAM],
    [['-h'], PROGRAM],
    ...COMMANDS.flatMap((spec): [string[], CommandSpec][] => [
      [[spec.name, '--help'], spec],
      ...(spec.below ?? []).map((one): [string[], CommandSpec] => [
        [spec.name, one.name, '--help'],
        one,
      ]),
    ]),
  ]
  for (const [argv, { examples }] of pages) {
    const { code, out, err } = await run(...argv)
    t.same([code, err], [0, ''], argv.join(' '))
    t.ok(out.includes(examples), 'examples, as they stand')
    const at = [out.indexOf(examples), out.indexOf('Options:'), out.indexOf('Arguments:')]
    t.ok(
      at.slice(1).every((later) => later === -1 || later > (at[0] ?? 0)),
      'and first',
    )
    t.ok(
      out.split('\n').every((line) => line.length <= 80),
      'no line is cut by a narrow terminal',
    )
  }
})
