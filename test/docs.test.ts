import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

// Goal: what code cites can be read here. Method: every file that git knows is searched for citations.

const root = fileURLToPath(new URL('..', import.meta.url))
const known = ['ls-files', '--cached', '--others', '--exclude-standard']
const places = ['src', 'test', 'bench', 'bin', 'docs', 'docker', '*.md']
const files = execFileSync('git', [...known, '--', ...places], { cwd: root })
  .toString()
  .split('\n')
  .filter((name) => /\.(ts|cjs|md)$/.test(name))
const decisions = readdirSync(`${root}docs/decisions`).toSorted()

/** Words that would point to a page which a reader of this repository does not have. */
const ELSEWHERE = [
  /\bD[0-9]{1,2}\b/,
  /design \u00a7/,
  /(reliability|toolchain|performance|peers|engines|ecosystem|house-style)(\.md)? ?[:\u00a7]/,
  /(?:engines|peers)-(?:here|baseline)/,
]

/** Lines of this text that cite what is not here, and decisions that it cites, by number. */
function citationsOf(text: string): { readonly elsewhere: string[]; readonly cited: string[] } {
  const elsewhere = text.split('\n').filter((line) => ELSEWHERE.some((one) => one.test(line)))
  const cited = [...text.matchAll(/decisions\/(\d+)|\[decision (\d+)\]/g)].map(
    ([, path, number]) => path ?? number?.padStart(4, '0') ?? '',
  )
  return { elsewhere, cited }
}

t.test('citationsOf() sees what would be wrong', async (t) => {
  // Written so that this file does not cite them itself.
  for (const line of ['as \u00446 says', 'design \u00a77', ' // engines\u003a 5', 'peers\u003a 8'])
    t.strictSame(citationsOf(line).elsewhere, [line])
  t.strictSame(citationsOf('the engines of a gate').elsewhere, [])
  t.strictSame(citationsOf('docs/decisions/\u0030099, [decision 9](x)').cited, ['0099', '0009'])
})

t.test('nothing cites what is not in this repository', async (t) => {
  t.ok(files.length > 300)
  for (const name of files) {
    const { elsewhere, cited } = citationsOf(readFileSync(`${root}${name}`, 'utf8'))
    t.strictSame(elsewhere, [], name)
    for (const number of cited)
      t.ok(
        decisions.some((decision) => decision.startsWith(`${number}-`)),
        `${name} cites decision ${number}`,
      )
  }
})

t.test('every source file that a comment names exists', async (t) => {
  const sources = files.filter((name) => name.endsWith('.ts'))
  for (const name of sources) {
    const comments = readFileSync(`${root}${name}`, 'utf8').match(/^\s*(?:\/?\*|\/\/).*/gm) ?? []
    const named = comments.flatMap(
      (line) => line.match(/(?<![\w.*])[\w-]+(?:\/[\w.-]+)*\.ts\b/g) ?? [],
    )
    const gone = named.filter((one) => !sources.some((file) => `/${file}`.endsWith(`/${one}`)))
    t.strictSame(gone, [], name)
  }
})

t.test('decisions are numbered without a gap, and each says what it costs', async (t) => {
  for (const [at, name] of decisions.entries()) {
    t.match(name, new RegExp(`^${String(at + 1).padStart(4, '0')}-[a-z-]+\\.md$`))
    const text = readFileSync(`${root}docs/decisions/${name}`, 'utf8')
    t.match(text, new RegExp(`^# ${at + 1}\\. `), name)
    for (const part of ['Context', 'Decision', 'Cost']) t.match(text, `**${part}.**`, name)
  }
})
