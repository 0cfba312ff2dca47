import { BlockList, isIP } from 'node:net'
import { bad, good, type Parsed, quoted } from './parsed.ts'

/** Where a gate listens. */
export interface Listener {
  readonly host: string
  /** 0: any free port, so nothing can be said about it yet. */
  readonly port: number
}

/** The addresses of this machine's loopback; IPv4-mapped IPv6 addresses count as IPv4. */
const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** "Every address": as a bind it means all interfaces, as a target this machine. */
const ANY = new BlockList()
ANY.addAddress('0.0.0.0', 'ipv4')
ANY.addAddress('::', 'ipv6')

/** Can only this machine reach a listener on `host`? Names other than `localhost` may resolve to
 *  anything, so they count as reachable from outside. */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || contains(LOOPBACK, host)
}

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

/**
 * Does this upstream URL lead to the listener itself? Loopback names, loopback addresses and the
 * any-address of one port are one place. A name that resolves to this machine is not recognised
 * here, since nothing is looked up; the gate catches such a loop by `Via`.
 */
export function leadsTo(listener: Listener, upstreamUrl: string): boolean {
  const url = new URL(upstreamUrl)
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port)
  if (listener.port === 0 || port !== listener.port) return false
  const target = bare(url.hostname)
  const own = bare(listener.host)
  if (isHere(own)) return isHere(target)
  return target === own
}

/** Loopback or any-address: a connection to it ends at this machine. */
function isHere(host: string): boolean {
  return isLoopbackHost(host) || host.endsWith('.localhost') || contains(ANY, host)
}

function bare(host: string): string {
  return host
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase()
}

function contains(list: BlockList, host: string): boolean {
  const family = isIP(host)
  return family !== 0 && list.check(host, family === 6 ? 'ipv6' : 'ipv4')
}
