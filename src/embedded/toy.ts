import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildToyModel, TOY_GENERATOR_VERSION } from './bigram.ts'
import { PROSE } from './prose.ts'

/** The package's root, from `src/embedded/` as from `dist/embedded/`. */
const PACKAGE_ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** Toy files that stay in the cache: other versions of gengate may be in use beside this one. */
const KEPT_FILES = 3

const FILE_NAME = /^toy-bigram-.*\.gguf$/

/**
 * Where generated files live: `gengate` under `$XDG_CACHE_HOME`, else under `~/.cache`. The XDG
 * base directory specification says that a relative `$XDG_CACHE_HOME` is to be ignored.
 */
export function defaultCacheDir(env: NodeJS.ProcessEnv): string {
  const base = env['XDG_CACHE_HOME'] ?? ''
  return join(isAbsolute(base) ? base : join(homedir(), '.cache'), 'gengate')
}

/**
 * The path of the toy model, which is generated unless the same text has already been. The file
 * appears under its name only when it is whole, so a second gate starting at the same time, or one
 * that is killed meanwhile, does no harm. Rejects if the cache cannot be written.
 */
export async function ensureToyModel(options: {
  readonly cacheDir: string
  /** Where README.md and docs/ lie; by default the package's own. */
  readonly packageRoot?: string
}): Promise<string> {
  const text = await trainingText(options.packageRoot ?? PACKAGE_ROOT)
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16)
  const path = join(options.cacheDir, `toy-bigram-v${TOY_GENERATOR_VERSION}-${hash}.gguf`)
  if (await exists(path)) return path
  await mkdir(options.cacheDir, { recursive: true })
  const unfinished = `${path}.${process.pid}.tmp`
  try {
    await writeFile(unfinished, buildToyModel(text))
    await rename(unfinished, path)
  } finally {
    await rm(unfinished, { force: true })
  }
  await removeOld(options.cacheDir)
  return path
}

/** The built-in prose, then README.md and docs/*.md in the order of their names. */
async function trainingText(root: string): Promise<string> {
  const docs = await readdir(join(root, 'docs')).catch(() => [])
  const files = ['README.md', ...docs.toSorted(byCodeUnits).map((name) => join('docs', name))]
  const texts = files
    .filter((name) => name.endsWith('.md'))
    .map((name) => readFile(join(root, name), 'utf8').catch(() => ''))
  return [PROSE, ...(await Promise.all(texts))].join('\n\n')
}

async function removeOld(cacheDir: string): Promise<void> {
  const names = (await readdir(cacheDir)).filter((name) => FILE_NAME.test(name))
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(cacheDir, name)
      return {
        path,
        writtenMs: await stat(path).then(
          (s) => s.mtimeMs,
          () => 0,
        ),
      }
    }),
  )
  const old = files.toSorted((a, b) => b.writtenMs - a.writtenMs).slice(KEPT_FILES)
  await Promise.all(old.map(({ path }) => rm(path, { force: true })))
}

/** A fixed order: the file's name follows from it. */
function byCodeUnits(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    (file) => file.isFile(),
    () => false,
  )
}
