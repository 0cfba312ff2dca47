import { defaultPortOf } from '../engines/index.ts'
import { bare, isAny, isLoopback, originOf, portOf, reaches } from '../runtime/address.ts'
import { refused, type Runnable, type StartInput, type StartIssue, valueOf } from './start-line.ts'

/** Where an engine will listen. */
export interface Place {
  readonly host: string
  readonly port: number
  readonly notes: readonly string[]
}

type Placed =
  | { readonly ok: true; readonly place: Place }
  | { readonly ok: false; readonly issue: StartIssue }

/** What an engine has to say about its address besides the URL of its upstream. */
export interface Wish {
  readonly host: string | null
  readonly port: string | null
  /** Who says so, for messages. */
  readonly portName: string
}

/**
 * Where this engine is to listen: the operator's own flags, then its variables, then the URL where
 * the gate looks for it if that is on this machine, then its default. Never the gate's port. Pure.
 */
export function placeOf(engine: Runnable, input: StartInput, wish: Wish): Placed {
  const url = new URL(input.upstream.url)
  const here = isLoopback(url.hostname)
  const flagged = valueOf(input.flags, ['--port'])
  const named = flagged === null ? wish.portName : '--port'
  const text = flagged ?? wish.port ?? String(here ? portOf(url) : ownPort(engine))
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65_535) {
    return refused(
      `${named} must be a port from 1 to 65535, not "${text}".`,
      `Correct it, or unset it to have ${engine} on ${ownPort(engine)}.`,
    )
  }
  const urlHost = here ? hostOf(url) : '127.0.0.1'
  const host = valueOf(input.flags, ['--host']) ?? wish.host ?? urlHost
  if (port === input.gatePort) {
    const own = ownPort(engine) === port ? port + 10 : ownPort(engine)
    const cure =
      wish.port === null && flagged === null ? `Set ${urlName(engine)}` : `Change ${named}`
    return refused(
      `port ${port} is the gate's own, so ${engine} cannot listen there.`,
      `${cure} to have ${engine} on ${own}, or move the gate: GENGATE_PORT=${port + 10}.`,
    )
  }
  return { ok: true, place: { host, port, notes: notesOn(engine, input, { host, port }) } }
}

/** The setting that says where the gate looks for this engine. */
export function urlName(engine: Runnable): string {
  return `GENGATE_${engine.toUpperCase()}_URL`
}

/** Where the gate expects this engine when nobody says. */
function ownPort(engine: Runnable): number {
  const port = defaultPortOf(engine)
  if (port === null) throw new Error(`${engine} has no default port`)
  return port
}

function notesOn(
  engine: Runnable,
  { upstream }: StartInput,
  place: { readonly host: string; readonly port: number },
): string[] {
  const notes: string[] = []
  const origin = originOf(place)
  // Below a base path the gate would ask for routes that the engine does not have.
  if (!reaches(upstream.url, place) || new URL(upstream.url).pathname !== '/') {
    notes.push(
      `The gate looks for ${engine} at ${upstream.url}. Set ${urlName(engine)}=${origin} for the gate.`,
    )
  }
  if (isAny(place.host)) {
    notes.push(
      `${engine} is open to other machines, and it does not ask for keys as the gate does.`,
    )
  }
  return notes
}

/** `localhost` may be ::1 for the engine and 127.0.0.1 for the gate: be exact. */
function hostOf(url: URL): string {
  return url.hostname === 'localhost' ? '127.0.0.1' : bare(url.hostname)
}
