import { defaultPortOf } from '../engines/index.ts'
import { bare, isAny, isLoopback, originOf, portOf, reaches } from '../runtime/address.ts'
import { Refused, type Runnable, type StartInput, valueOf } from './start-line.ts'

/** Where an engine will listen. */
export interface Place {
  readonly host: string
  readonly port: number
  readonly notes: readonly string[]
}

/** What the operator's variables say about the address of a vLLM; those of others say nothing. */
type Wish = Pick<StartInput['settings'], 'host' | 'port'>

/**
 * Where this engine is to listen: the operator's own flags, then its variables, then the URL where
 * the gate looks for it if that is on this machine, then its default. Never the gate's port. Pure but
 * for what it throws.
 */
export function placeOf(
  engine: Runnable,
  input: StartInput,
  wish: Wish = { host: null, port: null },
): Place {
  const url = new URL(input.upstream.url)
  const here = isLoopback(url.hostname)
  const flagged = valueOf(input.flags, ['--port'])
  const variable = wish.port === null ? urlName(engine) : 'VLLM_PORT'
  const named = flagged === null ? variable : '--port'
  const text = flagged ?? wish.port ?? String(here ? portOf(url) : ownPort(engine))
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65_535) {
    throw new Refused(
      `${named} must be a port from 1 to 65535, not "${text}".`,
      `Correct it, or unset it to have ${engine} on ${ownPort(engine)}.`,
    )
  }
  // `localhost` may be ::1 for the engine and 127.0.0.1 for the gate: be exact.
  const urlHost = here && url.hostname !== 'localhost' ? bare(url.hostname) : '127.0.0.1'
  const host = valueOf(input.flags, ['--host']) ?? wish.host ?? urlHost
  if (port === input.gatePort) {
    const own = ownPort(engine) === port ? port + 10 : ownPort(engine)
    const cure =
      wish.port === null && flagged === null ? `Set ${urlName(engine)}` : `Change ${named}`
    throw new Refused(
      `port ${port} is the gate's own, so ${engine} cannot listen there.`,
      `${cure} to have ${engine} on ${own}, or move the gate: GENGATE_PORT=${port + 10}.`,
    )
  }
  return { host, port, notes: notesOn(engine, input.upstream.url, { host, port }) }
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

function notesOn(engine: Runnable, url: string, place: Omit<Place, 'notes'>): string[] {
  const notes: string[] = []
  // Below a base path the gate would ask for routes that the engine does not have.
  if (!reaches(url, place) || new URL(url).pathname !== '/') {
    const cure = `Set ${urlName(engine)}=${originOf(place)} for the gate.`
    notes.push(`The gate looks for ${engine} at ${url}. ${cure}`)
  }
  if (isAny(place.host)) {
    notes.push(
      `${engine} is open to other machines, and it does not ask for keys as the gate does.`,
    )
  }
  return notes
}
