import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import type { Plan } from './plan.ts'

/** Where locks and logs of engines lie: state, by the XDG base directory specification, which says
 *  that a relative path is to be ignored. Pure but for the home folder. */
export function stateDirOf(env: Readonly<Record<string, string | undefined>>): string {
  const named = env['XDG_STATE_HOME'] ?? ''
  const home = env['HOME'] ?? homedir()
  return join(isAbsolute(named) ? named : join(home, '.local', 'state'), 'gengate')
}

/** The files of one engine: by name and address, since two gates may give one name to two engines.
 *  Pure. */
export function filesOf(dir: string, { name, url }: Plan): { lock: string; log: string } {
  const { hostname, port, protocol } = new URL(url)
  const host = hostname.replaceAll(/[^a-z0-9.-]/g, '_')
  const base = join(dir, `${name}-${host}-${port === '' ? protocol.slice(0, -1) : port}`)
  return { lock: `${base}.lock`, log: `${base}.log` }
}
