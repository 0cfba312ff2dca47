// Goal: what would make a start fail is seen before it. Method: real files and programs; the
// Python is a script that says what the real one was seen to say.
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { metalIssue, thisMachine } from '../../src/launch/preflight.ts'

function script(dir: string, name: string, text: string): string {
  const path = join(dir, name)
  writeFileSync(path, `#!/bin/sh\n${text}\n`)
  chmodSync(path, 0o755)
  return path
}

t.test('thisMachine() finds programs by name and by path, and no others', async (t) => {
  const dir = t.testdir({ folder: {}, note: 'text' })
  const tool = script(dir, 'tool', 'exit 0')
  const machine = thisMachine({ PATH: `/nowhere::${dir}`, HOME: '/h' })
  t.equal(machine.home, '/h')
  t.equal(machine.program('tool'), tool)
  t.equal(machine.program(tool), tool)
  for (const name of ['note', 'folder', 'none', `${dir}/none`]) t.equal(machine.program(name), null)
  t.same([tool, dir, `${dir}/none`].map(machine.isFile), [true, false, false])
})

t.test('metalIssue() tells which package is missing, and names the installer', async (t) => {
  const dir = t.testdir({})
  const rows: [text: string, what: RegExp | null][] = [
    ['printf "a warning\\n\\nok\\n"', null],
    [
      `printf "\\nvllm_metal\\tModuleNotFoundError: No module named 'vllm_metal'\\n"`,
      /^vllm_metal cannot be imported by .*python3 \(ModuleNotFoundError: No module named 'vllm_metal'\)\.$/,
    ],
    ['echo broken >&2; exit 1', /python3 cannot import vllm and vllm_metal\.$/],
  ]
  for (const [text, what] of rows) {
    const python = script(dir, 'python3', text)
    const issue = await metalIssue(python, process.env)
    if (what === null) t.equal(issue, null)
    else t.match(issue, { what, hint: /vllm-metal\/main\/install\.sh/ })
  }
  t.match(await metalIssue(join(dir, 'none'), process.env), { what: /cannot import/ })
})
