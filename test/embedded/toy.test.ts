import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { defaultCacheDir, ensureToyModel } from '../../src/embedded/toy.ts'

t.test('defaultCacheDir() follows the XDG base directory specification', async (t) => {
  t.equal(defaultCacheDir({ XDG_CACHE_HOME: '/x' }), '/x/gengate')
  t.equal(defaultCacheDir({}), join(homedir(), '.cache', 'gengate'))
  t.equal(defaultCacheDir({ XDG_CACHE_HOME: 'relative' }), join(homedir(), '.cache', 'gengate'))
})

t.test('ensureToyModel() works without any document and keeps what it made', async (t) => {
  const root = t.testdir({})
  const cacheDir = join(root, 'deep', 'cache')
  const path = await ensureToyModel({ cacheDir, packageRoot: root })
  t.equal((await readFile(path)).toString('latin1', 0, 4), 'GGUF')
  await writeFile(path, 'kept')
  t.equal(await ensureToyModel({ cacheDir, packageRoot: root }), path)
  t.equal(await readFile(path, 'utf8'), 'kept', 'nothing is generated twice')
  t.strictSame(await readdir(cacheDir), [path.slice(cacheDir.length + 1)], 'no other file is left')
})

t.test('ensureToyModel() counts README.md and docs/*.md, and names the file by them', async (t) => {
  const root = t.testdir({})
  const options = { cacheDir: join(root, 'cache'), packageRoot: root }
  const bare = await ensureToyModel(options)
  await mkdir(join(root, 'docs'))
  await writeFile(join(root, 'README.md'), 'A zebra reads the manual of the gate.\n')
  await writeFile(join(root, 'docs', 'a.md'), 'A walrus reads the manual of the gate.\n')
  await writeFile(join(root, 'docs', 'a.txt'), 'A badger reads the manual of the gate.\n')
  const path = await ensureToyModel(options)
  t.not(path, bare)
  const model = await readFile(path)
  t.ok(model.includes(' zebra') && model.includes(' walrus'))
  t.notOk(model.includes(' badger'))
})

t.test('ensureToyModel() removes all but the newest files of other texts', async (t) => {
  const root = t.testdir({})
  for (const age of [1, 2, 3, 4]) {
    const old = join(root, `toy-bigram-v0-${age}.gguf`)
    await writeFile(old, '')
    await utimes(old, 1_000_000 - age, 1_000_000 - age)
  }
  await writeFile(join(root, 'mine.gguf'), '')
  const path = await ensureToyModel({ cacheDir: root, packageRoot: root })
  const made = path.slice(root.length + 1)
  const left = ['mine.gguf', 'toy-bigram-v0-1.gguf', 'toy-bigram-v0-2.gguf', made]
  t.strictSame((await readdir(root)).toSorted(), left.toSorted())
})

t.test('ensureToyModel() rejects when the cache cannot be written', async (t) => {
  const root = t.testdir({})
  await writeFile(join(root, 'file'), '')
  await t.rejects(ensureToyModel({ cacheDir: join(root, 'file'), packageRoot: root }))
})
