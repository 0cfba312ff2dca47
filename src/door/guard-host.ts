import { isIPv4, isIPv6 } from 'node:net'

/** Host names that are served by default: they can only mean this machine
 *  (docs/decisions/0016). */
export const DEFAULT_HOSTS: readonly string[] = [
  'localhost',
  'host.docker.internal',
  'host.containers.internal',
]

const LABEL = '[a-z\\d](?:[a-z\\d_-]{0,61}[a-z\\d])?'
const NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`)

/**
 * Is this authority (`Host`, or the one of an absolute target) ours to serve? IP literals are, with
 * any port: DNS rebinding needs a name. `hosts` are lower-case names. Parsed strictly: `127.1`,
 * `0x7f.1`, a trailing dot, userinfo, zones and mapped addresses are not.
 */
export function isHostAllowed(authority: string, hosts: readonly string[]): boolean {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(authority.toLowerCase())
  if (match === null) return false
  const [, literal, name = '', port] = match
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return false
  if (literal !== undefined) return isIPv6(literal) && !/[.%]|^::ffff:/.test(literal)
  if (isIPv4(name)) return true
  return NAME.test(name) && hosts.includes(name)
}
