import { readFileSync } from 'node:fs'
import t from 'tap'

// Goal: docs/clients.md names the versions that `npm run test:clients` runs, and no others.

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8')
const manifest = JSON.parse(read('npm/package.json')) as { dependencies: Record<string, string> }
const [, page = ''] = read('../../docs/clients.md').split('## Run against the gate')
const [rows = ''] = page.split('## From their documentation only')

t.test('docs/clients.md names every client with the version that is run', async (t) => {
  const named = [...rows.matchAll(/`([@\w/-]+)` (\d+\.\d+\.\d+)/g)].map((m) => `${m[1]}@${m[2]}`)
  const node = Object.entries(manifest.dependencies)
    // What @langchain/openai wants beside it.
    .filter(([name]) => name !== '@langchain/core')
    .map(([name, version]) => `${name}@${version}`)
  const python = read('requirements.txt').match(/^openai==(.*)$/m)?.[1]
  t.strictSame(named.toSorted(), [...node, `openai@${python}`].toSorted())
})

t.test('the clients are run with the openai that the tree is type-checked against', async (t) => {
  const tree = JSON.parse(read('../../package.json')) as { devDependencies: Record<string, string> }
  t.equal(manifest.dependencies['openai'], tree.devDependencies['openai'])
})

t.test('docs/clients.md marks what was not run', async (t) => {
  const rest = page.slice(rows.length).split('\n')
  const clients = rest.filter((line) => /^\| [A-Za-z]/.test(line) && !line.startsWith('| Client'))
  t.equal(clients.length, 4)
  for (const line of clients) t.match(line, /\| Not run\..*\]\(https:/, line)
})
