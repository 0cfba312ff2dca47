import { BlockList, isIP } from 'node:net'

/** Where somebody listens. */
export interface Listener {
  /** A name or an IP address, brackets or not. */
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
 *  anything, so they count as reachable from outside. Pure. */
export function isLoopback(host: string): boolean {
  const name = bare(host)
  return name === 'localhost' || contains(LOOPBACK, name)
}

/** Does a listener on `host` take connections on every interface? Pure. */
export function isAny(host: string): boolean {
  return contains(ANY, bare(host))
}

/**
 * Might this URL lead to the listener? Loopback names, loopback addresses and the any-address of one
 * port are one place, so that no gate forwards to itself. A name that resolves to this machine is
 * not recognised, since nothing is looked up; `Via` catches such a loop. Pure.
 */
export function leadsTo(url: string, listener: Listener): boolean {
  const target = URL.parse(url)
  if (target === null || listener.port === 0 || portOf(target) !== listener.port) return false
  if (isHere(listener.host)) return isHere(target.hostname)
  return bare(target.hostname) === bare(listener.host)
}

/** Does a plain HTTP request to this URL surely arrive at the listener? Stricter than `leadsTo`: a
 *  listener on ::1 hears nothing that is sent to 127.0.0.1. Pure. */
export function reaches(url: string, listener: Listener): boolean {
  const target = URL.parse(url)
  if (target?.protocol !== 'http:' || !leadsTo(url, listener)) return false
  const [to, own] = [bare(target.hostname), bare(listener.host)]
  const oneFamily = isIP(own) === 4 || own === '::1'
  return !oneFamily || isIP(to) === 0 || isIP(to) === isIP(own)
}

/** The address at which this machine reaches a listener on `host`. Pure. */
export function reachable(host: string): string {
  const name = bare(host)
  if (name === '' || name === '0.0.0.0') return '127.0.0.1'
  return name === '::' ? '::1' : name
}

/** `http://host:port` at which this machine reaches the listener. Pure. */
export function originOf({ host, port }: Listener): string {
  const name = reachable(host)
  return `http://${isIP(name) === 6 ? `[${name}]` : name}:${port}`
}

/** The port that a URL of http or https leads to. Pure. */
export function portOf({ port, protocol }: URL): number {
  if (port !== '') return Number(port)
  return protocol === 'https:' ? 443 : 80
}

/** A host as sockets take it: no brackets, no trailing dot, lower case. Pure. */
export function bare(host: string): string {
  return host
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase()
}

/** Loopback or any-address: a connection to it ends at this machine. */
function isHere(host: string): boolean {
  return isLoopback(host) || isAny(host) || bare(host).endsWith('.localhost')
}

function contains(list: BlockList, name: string): boolean {
  const family = isIP(name)
  return family !== 0 && list.check(name, family === 6 ? 'ipv6' : 'ipv4')
}
