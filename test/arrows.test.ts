import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

// Goal: the rules that keep the rooms apart fire when somebody breaks them.
// Method: our own lint configuration over a small tree in which each rule is broken once.

const root = fileURLToPath(new URL('..', import.meta.url))

const PLANTED: Readonly<Record<string, { text: string; rule: string }>> = {
  'src/core/outward.ts': {
    text: "import { x } from '../proxy/x.ts'\nexport const y = x\n",
    rule: 'no-restricted-imports',
  },
  'src/core/io.ts': {
    text: "import { readFileSync } from 'node:fs'\nexport const y = readFileSync\n",
    rule: 'no-restricted-imports',
  },
  'src/core/clock.ts': {
    text: 'export const y = () => Date.now()\n',
    rule: 'no-restricted-globals',
  },
  'src/probe/sideways.ts': {
    text: "import { x } from '../proxy/x.ts'\nexport const y = x\n",
    rule: 'no-restricted-imports',
  },
  'src/proxy/sideways.ts': {
    text: "import { x } from '../probe/x.ts'\nexport const y = x\n",
    rule: 'no-restricted-imports',
  },
  'src/proxy/upward.ts': {
    text: "import { x } from '../app.ts'\nexport const y = x\n",
    rule: 'no-restricted-imports',
  },
  'src/operator/metrics.ts': {
    text: "import { x } from '../telemetry/x.ts'\nexport const y = x\n",
    rule: 'no-restricted-imports',
  },
  'src/launch/upward.ts': {
    text: "import { x } from '../config/x.ts'\nexport const y = x\n",
    rule: 'no-restricted-imports',
  },
  'src/proxy/launches.ts': {
    text: "import { x } from '../launch/x.ts'\nexport const y = x\n",
    rule: 'no-restricted-imports',
  },
  'src/supervisor/sideways.ts': {
    text: "import { x } from '../probe/x.ts'\nexport const y = x\n",
    rule: 'no-restricted-imports',
  },
  'src/probe/restart.ts': {
    text: "import { x } from '../supervisor/x.ts'\nexport const y = x\n",
    rule: 'no-restricted-imports',
  },
  'src/state/up.ts': {
    text: "import { x } from '../proxy/x.ts'\nexport const y = x\n",
    rule: 'no-restricted-imports',
  },
  'src/proxy/timer.ts': {
    text: 'setTimeout(() => {}, 1)\nexport {}\n',
    rule: 'no-restricted-globals',
  },
  'src/proxy/round.ts': {
    text: "import { b } from './trip.ts'\nexport const a = (): unknown => b\n",
    rule: 'no-cycle',
  },
  'src/proxy/trip.ts': {
    text: "import { a } from './round.ts'\nexport const b = (): unknown => a\n",
    rule: 'no-cycle',
  },
  'src/proxy/round-type.ts': {
    text: "import type { B } from './trip-type.ts'\nexport interface A {\n  readonly b?: B\n}\n",
    rule: 'no-cycle',
  },
  'src/proxy/trip-type.ts': {
    text: "import type { A } from './round-type.ts'\nexport interface B {\n  readonly a?: A\n}\n",
    rule: 'no-cycle',
  },
  'src/proxy/long.ts': { text: 'export {}\n'.repeat(251), rule: 'max-lines' },
}
const INNOCENT: Readonly<Record<string, string>> = {
  'src/app.ts': 'export const x = 1\n',
  'src/proxy/x.ts': 'export const x = 1\n',
  'src/probe/x.ts': 'export const x = 1\n',
  'src/config/x.ts': 'export const x = 1\n',
  'src/launch/x.ts': 'export const x = 1\n',
  'src/cli/launches.ts': "import { x } from '../launch/x.ts'\nexport const y = x\n",
  'src/supervisor/x.ts': 'export const x = 1\n',
  'src/telemetry/x.ts': 'export const x = 1\n',
  'src/proxy/down.ts': "import { x } from '../core/x.ts'\nexport const y = x\n",
  'src/core/x.ts': 'export const x = 1\n',
}

interface Finding {
  readonly filename: string
  readonly code: string
}

t.test('every planted violation is reported, and nothing else', async (t) => {
  // Outside of the checkout: what git ignores there, the linter ignores too.
  const dir = await mkdtemp(join(tmpdir(), 'gengate-'))
  t.teardown(() => rm(dir, { recursive: true }))
  await symlink(join(root, 'node_modules'), join(dir, 'node_modules'))
  for (const name of ['.oxlintrc.json', 'tsconfig.json'])
    await copyFile(join(root, name), join(dir, name))
  const files = {
    ...Object.fromEntries(Object.entries(PLANTED).map(([k, v]) => [k, v.text])),
    ...INNOCENT,
  }
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true })
    await writeFile(join(dir, name), text)
  }
  const out = await new Promise<string>((resolve, reject) => {
    // The test runner gives its children hooks that the linter's own entry does not survive.
    const command = `unset NODE_OPTIONS; exec '${root}node_modules/.bin/oxlint' --format=json src`
    execFile('sh', ['-c', command], { cwd: dir }, (error, stdout, stderr) =>
      stdout === '' ? reject(new Error(stderr, { cause: error })) : resolve(stdout),
    )
  })
  const { diagnostics } = JSON.parse(out) as { diagnostics: Finding[] }
  const rulesOf = (name: string) =>
    diagnostics.filter((one) => one.filename === name).map((one) => one.code)
  for (const [name, { rule }] of Object.entries(PLANTED)) {
    t.ok(
      rulesOf(name).some((code) => code.includes(rule)),
      `${name} breaks ${rule}`,
    )
  }
  for (const name of Object.keys(INNOCENT)) t.strictSame(rulesOf(name), [], `${name} is fine`)
})
