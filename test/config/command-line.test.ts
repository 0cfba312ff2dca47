import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { commandLine } from '../../src/config/command-line.ts'
import { loadConfig } from '../../src/config/load.ts'
import { diffConfig, printConfig } from '../../src/config/print.ts'
import { readAs } from '../../src/config/types.ts'
import { resultOf } from '../cli/recorded-io.ts'
import { holds } from '../support/property.ts'

const split = (text: string): unknown => {
  const parsed = readAs(commandLine, text)
  return parsed.ok ? [parsed.value.command, ...parsed.value.args] : parsed.messages.join(' ')
}

t.test('commandLine splits as a shell does', async (t) => {
  const table: [text: string, words: string[]][] = [
    ['llama-server -m m.gguf', ['llama-server', '-m', 'm.gguf']],
    [`  a\t'b c'  "d e" `, ['a', 'b c', 'd e']],
    [`a --x='{"k": 1}' "it's"`, ['a', '--x={"k": 1}', "it's"]],
    [String.raw`a b\ c "d\"e" "f\g" 'h\i'`, ['a', 'b c', 'd"e', String.raw`f\g`, String.raw`h\i`]],
    [`a '' ""`, ['a', '', '']],
    [`a b"c"'d'e`, ['a', 'bcde']],
    ['a \\\n b', ['a', 'b']],
    ['a\nb', ['a', 'b']],
    [`a '$HOME' 'x|y' '*'`, ['a', '$HOME', 'x|y', '*']],
    ['a b~c d#e {x,y} [z]', ['a', 'b~c', 'd#e', '{x,y}', '[z]']],
  ]
  for (const [text, words] of table) t.same(split(text), words, text)
})

t.test('commandLine agrees with /bin/sh on whatever it accepts', async (t) => {
  const plain = ['a', 'b c', '=', ' ', 'x', '-', '.', '{']
  const part = fc.constantFrom(...plain, "'", '"', '\\', "' '", '\\"', '\\\\')
  const texts = fc.array(part, { maxLength: 8 }).map((parts) => `printf %s\\\\n ${parts.join('')}`)
  holds(
    t,
    'words are those of the shell',
    fc.property(texts, (text) => {
      const parsed = readAs(commandLine, text)
      if (!parsed.ok) return true
      const { command, args } = parsed.value
      // One line each; an argument list that is empty prints one empty line.
      const out = execFileSync('/bin/sh', ['-c', text], { encoding: 'utf8' })
      const [, ...words] = args
      const expected = words.length === 0 ? '\n' : words.map((word) => `${word}\n`).join('')
      return command === 'printf' && out === expected
    }),
    60,
  )
})

t.test('commandLine takes variables in front of the command', async (t) => {
  const parsed = readAs(commandLine, `OMP_NUM_THREADS=2 X='a b' vllm serve A=1`)
  const env = { OMP_NUM_THREADS: '2', X: 'a b' }
  t.same(parsed, { ok: true, value: { command: 'vllm', args: ['serve', 'A=1'], env } })
  t.same(split(`'A=1' b`), ['A=1', 'b'], 'a quoted word is a command')
  t.match(split('GENGATE_PORT=1 a'), /variable of the gate/)
  t.match(split('A=1'), /names no command/)
})

t.test('commandLine refuses what needs a shell, and never repeats the text', async (t) => {
  const pipes = ['a | b', 'a > f', 'a < f', 'a & b', 'a; b', 'a (b)']
  const words = ['a $KEY', 'a "$KEY"', 'a `b`', 'a "`b`"', 'a *', 'a ?', '~/a', 'a # b']
  for (const text of [...pipes, ...words]) {
    t.match(split(`${text} sk-secret`), /^uses .+ which needs a shell/, text)
    t.notMatch(split(`${text} sk-secret`), /sk-secret/)
  }
  t.match(split(`a 'sk-secret`), /^opens a ' and does not close it\.$/)
  t.match(split('a "sk-secret'), /^opens a " and does not close it\.$/)
  t.match(split('a \\'), /^ends with a/)
  t.match(split('a \0'), /NUL/)
  t.match(split('  '), /names no command/)
  t.match(split(`'' a`), /names no command/)
  t.match(split('(set)'), /only stands for a command line/)
})

const load = (env: Record<string, string>) => resultOf({ GENGATE_UPSTREAMS: 'llamacpp', ...env })
const issues = (env: Record<string, string>): string => {
  const loaded = load(env)
  return loaded.ok ? '' : loaded.issues.map(({ name, message }) => `${name} ${message}`).join('\n')
}

t.test('loadConfig() knows what goes together with _RUN', async (t) => {
  const run = { GENGATE_LLAMACPP_RUN: 'llama-server --api-key sk-secret' }
  const idle = { GENGATE_LLAMACPP_IDLE_STOP_MS: '60000' }
  const upstreams = [{ run: { command: 'llama-server' }, idleStopMs: null }]
  t.match(load(run), { ok: true, config: { upstreams } })
  t.match(load({ ...run, ...idle }), { config: { upstreams: [{ idleStopMs: 60_000 }] } })
  const wrong: [env: Record<string, string>, issue: RegExp][] = [
    [{ ...run, GENGATE_LLAMACPP_PROBE: 'off' }, /_RUN needs GENGATE_LLAMACPP_PROBE=active/],
    [idle, /_IDLE_STOP_MS needs GENGATE_LLAMACPP_RUN/],
    [{ ...idle, GENGATE_LLAMACPP_RUN: 'a |' }, /^GENGATE_LLAMACPP_RUN uses .*$/],
    [{ ...run, ...idle, GENGATE_LLAMACPP_COLD: 'never' }, /does not go with/],
    [{ ...run, GENGATE_LLAMACPP_IDLE_STOP_MS: '500' }, /from 1000 to/],
  ]
  for (const [env, issue] of wrong) t.match(issues(env), issue)
})

t.test('a command line is never printed, and a change of it is noticed', async (t) => {
  const [one, two] = ['a', 'b'].map((word) => load({ GENGATE_LLAMACPP_RUN: `${word} sk-secret` }))
  if (!one?.ok || !two?.ok) throw new Error('both load')
  t.match(printConfig(one.config).join('\n'), /GENGATE_LLAMACPP_RUN=\(set\)/)
  t.notMatch(printConfig(one.config).join('\n'), /sk-secret/)
  const changed = ['GENGATE_LLAMACPP_RUN']
  t.same(diffConfig(one.config, two.config), { changed, needsRestart: [] })
  t.same(diffConfig(one.config, one.config).changed, [])
})

t.test('the example of docs/supervisor.md loads', async (t) => {
  const page = readFileSync(new URL('../../docs/supervisor.md', import.meta.url), 'utf8')
  const text = /```ini\n(.*?)```/s.exec(page)?.[1] ?? ''
  const file = { path: '.env', text }
  const loaded = loadConfig({ env: {}, file, flags: { upstreams: [] }, readFile: () => null })
  const ollama = { command: 'ollama', env: { OLLAMA_HOST: '127.0.0.1:11434' } }
  const upstreams = [
    { run: { command: 'llama-server' }, idleStopMs: null },
    { run: ollama, idleStopMs: 600_000 },
  ]
  t.match(loaded, { ok: true, config: { upstreams } })
})
