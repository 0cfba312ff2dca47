import { isIP } from 'node:net'
import { bad, good, type Parsed, quoted } from './parsed.ts'

/** `GENGATE_HOST`: an IP address or a name, without port, in lower case and without brackets. */
export function parseHost(text: string): Parsed<string> {
  const host = text.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  if (isIP(host) !== 0) return good(host)
  const isName = /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(host) && !/^[0-9.]+$/.test(host)
  if (isName) return good(host)
  return bad(
    `must be an IP address or a host name, not ${quoted(text)}. The port goes into GENGATE_PORT.`,
  )
}
