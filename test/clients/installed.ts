import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Where `test/clients/install` puts everything. */
const CACHE = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'gengate-clients')

/** The Python of the virtual environment. Throws where it is not installed. */
export function python(): string {
  return found('python openai', join(CACHE, 'python', 'bin', 'python'))
}

/** A program of the Prometheus project: the unpacked one, else one on the PATH. */
export function prometheusProgram(name: 'prometheus' | 'promtool'): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const candidates = [join(CACHE, 'prometheus', 'usr', 'bin'), ...folders]
  return found(name, ...candidates.map((folder) => join(folder, name)))
}

/** An npm client, resolved as in a user's own project. `T` states the part of it that is used. */
export async function load<T>(name: string): Promise<T> {
  const entry = found(name, join(CACHE, 'npm', 'load.mjs'))
  found(name, manifestOf(name))
  const { load } = (await import(pathToFileURL(entry).href)) as {
    load: (name: string) => Promise<T>
  }
  return load(name)
}

/** The version that is installed, for the run's own record. */
export function versionOf(name: string): string {
  const text = readFileSync(found(name, manifestOf(name)), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function manifestOf(name: string): string {
  return join(CACHE, 'npm', 'node_modules', name, 'package.json')
}

/** A client that is not there fails its test: a skipped proof looks like a proof. */
function found(what: string, ...paths: readonly string[]): string {
  const path = paths.find((candidate) => existsSync(candidate))
  if (path === undefined) throw new Error(`${what} is not installed; run test/clients/install`)
  return path
}
