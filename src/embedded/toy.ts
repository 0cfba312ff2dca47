import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildToyModel, TOY_GENERATOR_VERSION } from './bigram.ts'

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
  const made = await stat(path).catch(() => null)
  if (made?.isFile() === true) return path
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
  const files = [
    'README.md',
    ...docs.toSorted((a, b) => (a < b ? -1 : 1)).map((name) => join('docs', name)),
  ]
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
      return { path, writtenMs: (await stat(path).catch(() => null))?.mtimeMs ?? 0 }
    }),
  )
  const old = files.toSorted((a, b) => b.writtenMs - a.writtenMs).slice(KEPT_FILES)
  await Promise.all(old.map(({ path }) => rm(path, { force: true })))
}

/**
 * Prose about the gate, counted into the toy model beside the project's documents: so words come
 * out wherever the package is installed, also where no documents are.
 */
export const PROSE = `
A gate stands in front of the language servers of one machine. Clients know one address, and the
gate knows the servers behind it. When a client sends a prompt, the gate chooses an upstream that can
really generate now, forwards the request, and lets the tokens flow back as they come. When an
upstream fails, the next one answers, and the client sees nothing but a short pause.

A server may look healthy and still generate nothing. It accepts the connection, it answers the
question about its models, and it sends the headers of a stream. Then it is silent for ever. Only a
generation proves that a server generates. So the gate asks each upstream for one small token, waits
for the answer, and remembers how long it took. This small question is called a probe.

A busy server is not a broken server. It has a long queue, it works through a large prompt, and it
answers the probe late. The gate sees the tokens that it delivers to other clients, so the gate knows
that the server makes progress. A server that makes progress is never thrown out. A server that makes
no progress, and that misses its probe, is suspect at once. When it stays silent, it is ejected.

Evidence has an age. A token that came a second ago is good evidence. A probe that passed an hour ago
is no evidence at all. Unknown is not eligible, and old evidence expires. When nothing is eligible,
the gate holds the request for a moment, and then it says why it cannot serve. It never invents an
answer, it never repeats a part of an answer, and it never ends a broken stream as if it were whole.

The operator decides the order of the upstreams. The first one that is eligible gets the request. If
the operator drains an upstream, the running streams finish there and the new requests go to the next
one. If the operator changes the file, the gate reads the file again and no stream is touched. The
status page shows which upstream serves, why it serves, and what to do about the others.

The gate distrusts itself as well. When its own event loop was late, when the machine woke from sleep,
or when every upstream seems to fail at the same moment, the gate does not blame the upstreams. It
waits for a second look. The clock may jump, the network may be gone, and the disk may be full. A
doubt about ourselves is a kind of evidence too.

The small model that speaks here is a toy. It was counted from the words of the documents, one pair of
words after another. It knows which word often follows a word, and it knows nothing else. It is here
so that a bare machine can show the whole path: the request, the tokens, the stream, the usage and the
end. Start a real engine, and the toy steps aside. Give the gate the path of a real model, and the
same engine room answers in earnest.

What is a good answer? A good answer comes from a server that works, it comes in the right order, and
it comes to the client who asked. What is a bad answer? A bad answer is a stream that stops in the
middle and says that all is well. The gate would rather send an error than a lie. An error can be
read, an error can be counted, and a client can try again.
`
