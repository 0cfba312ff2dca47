import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { Chance } from './sim-chance.ts'

/** Which way the bytes go that are counted: requests go `up`, answers go `down`. */
export type Way = 'up' | 'down'

/** What happens to one connection, in Toxiproxy's words where it has one. */
export type Toxic =
  | { readonly kind: 'none' }
  /** Accepted, and reset before a byte. */
  | { readonly kind: 'refuse' }
  /** Every piece comes so much later. */
  | { readonly kind: 'latency'; readonly ms: number }
  /** Bytes arrive in pieces of this size. */
  | { readonly kind: 'slicer'; readonly size: number }
  /** After so many bytes: a TCP reset, an early FIN, or noise in place of what was sent. */
  | {
      readonly kind: 'reset_peer' | 'limit_data' | 'garbage'
      readonly of: Way
      readonly afterBytes: number
    }
  /** After so many bytes nothing passes any more, either way, and nobody is told; both ends are
   *  closed `forMs` later (Toxiproxy's `timeout`). */
  | {
      readonly kind: 'half_open'
      readonly of: Way
      readonly afterBytes: number
      readonly forMs: number
    }

interface Teardown {
  teardown: (end: () => Promise<void>) => unknown
}

/** Bytes that are neither HTTP, nor a chunk size, nor JSON, wherever they appear. */
const NOISE = Buffer.from('\x80\x01\xfe~~\x02\xff'.repeat(20), 'latin1')

/** A TCP proxy in front of one port that does to each connection what `plan` says. */
export class ChaosProxy {
  port = 0
  /** Decides on the n-th connection. May be changed at any time. */
  plan: (connection: number) => Toxic = () => ({ kind: 'none' })
  /** Connections whose first bytes match are left alone. */
  spares: (first: Buffer) => boolean = () => false
  /** How often each toxic has struck. */
  readonly struck: Record<Toxic['kind'], number> = {
    none: 0,
    refuse: 0,
    latency: 0,
    slicer: 0,
    reset_peer: 0,
    limit_data: 0,
    garbage: 0,
    half_open: 0,
  }
  readonly #target: number
  readonly #links = new Set<Link>()
  readonly #server = createServer((socket) => this.#accept(socket))
  #accepted = 0
  #silent = false

  constructor(target: number) {
    this.#target = target
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Listens; after `refuse`, on the same port again. */
  async listen(): Promise<void> {
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
  }

  /** Stops listening: new connections are refused. Those that exist are reset, unless `keep`. */
  async refuse(keep = false): Promise<void> {
    if (!this.#server.listening) return
    this.struck.refuse++
    const closed = once(this.#server, 'close')
    this.#server.close()
    if (!keep) {
      for (const link of this.#links) link.reset()
      await closed
    }
  }

  /** From now on no byte passes on any connection; new ones are accepted by the kernel alone. */
  silence(): void {
    this.#silent = true
    for (const link of this.#links) link.silence()
  }

  /** The network is back: what was silent is reset, as its peers have long forgotten it. */
  heal(): void {
    this.#silent = false
    for (const link of this.#links) link.reset()
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.reset()
    await this.refuse()
  }

  #accept(socket: Socket): void {
    const toxic = this.plan(this.#accepted++)
    if (toxic.kind === 'refuse') {
      this.struck.refuse++
      return void socket.resetAndDestroy().on('error', () => {})
    }
    const link = new Link(socket, connect(this.#target, '127.0.0.1'), {
      toxic,
      spares: this.spares,
      strike: () => this.struck[toxic.kind]++,
    })
    this.#links.add(link)
    void link.over.then(() => this.#links.delete(link))
    if (this.#silent) link.silence()
  }
}

/** A chaos proxy that listens and is closed after `t`. */
export async function chaosProxy(t: Teardown, target: number): Promise<ChaosProxy> {
  const proxy = new ChaosProxy(target)
  t.teardown(() => proxy.close())
  await proxy.listen()
  return proxy
}

/** Two sockets and what passes between them. */
class Link {
  /** Resolves when both are closed. */
  readonly over: Promise<unknown>
  readonly #client: Socket
  readonly #server: Socket
  readonly #strike: () => void
  #toxic: Toxic
  #spares: ((first: Buffer) => boolean) | null
  #left: number
  #over = false
  #timer: NodeJS.Timeout | undefined

  constructor(
    client: Socket,
    server: Socket,
    how: { toxic: Toxic; spares: (first: Buffer) => boolean; strike: () => void },
  ) {
    this.#client = client
    this.#server = server
    this.#toxic = how.toxic
    this.#spares = how.spares
    this.#strike = how.strike
    this.#left = 'afterBytes' in how.toxic ? how.toxic.afterBytes : Infinity
    if (how.toxic.kind === 'slicer' || how.toxic.kind === 'latency') how.strike()
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.on('error', () => {})
    }
    this.over = Promise.all(
      [client, server].map((one) => new Promise((end) => one.on('close', end))),
    )
    this.#pump(client, server, 'up')
    this.#pump(server, client, 'down')
  }

  silence(): void {
    this.#over = true
    this.#client.pause()
    this.#server.pause()
  }

  reset(): void {
    this.#over = true
    clearTimeout(this.#timer)
    resetOne(this.#client)
    resetOne(this.#server)
  }

  #pump(from: Socket, to: Socket, way: Way): void {
    // One after the other, also when a piece is delayed.
    let last: Promise<unknown> | null = null
    const inTurn = (job: () => Promise<void> | null): void => {
      if (last === null) last = job()
      else last = last.then(job)
    }
    from.on('data', (chunk: Buffer) => {
      if (this.#spares?.(chunk) === true) {
        this.#toxic = { kind: 'none' }
        this.#left = Infinity
      }
      this.#spares = null
      inTurn(() => this.#pass(chunk, { from, to, way }))
    })
    from.on('end', () => inTurn(() => (this.#over || void to.end(), null)))
    from.on('close', () => inTurn(() => (this.#over || closeLike(from, to), null)))
  }

  /** Null: it is done. */
  #pass(chunk: Buffer, pipe: { from: Socket; to: Socket; way: Way }): Promise<void> | null {
    if (this.#over) return null
    const { from, to, way } = pipe
    const toxic = this.#toxic
    if (toxic.kind === 'latency') {
      return pause(toxic.ms).then(() => void (this.#over || to.write(chunk)))
    }
    if (toxic.kind === 'slicer') return this.#slice(chunk, to, toxic.size)
    if ('of' in toxic && toxic.of === way) {
      if (chunk.length > this.#left) return this.#hit(toxic, chunk.subarray(0, this.#left), to)
      this.#left -= chunk.length
    }
    if (!to.write(chunk)) {
      from.pause()
      to.once('drain', () => this.#over || from.resume())
    }
    return null
  }

  async #slice(chunk: Buffer, to: Socket, size: number): Promise<void> {
    for (let at = 0; at < chunk.length && !this.#over; at += size) {
      to.write(chunk.subarray(at, at + size))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  #hit(toxic: Extract<Toxic, { of: Way }>, rest: Buffer, to: Socket): null {
    this.#strike()
    if (rest.length > 0) to.write(rest)
    if (toxic.kind === 'reset_peer') this.reset()
    else if (toxic.kind === 'half_open') {
      this.silence()
      this.#timer = setTimeout(() => this.reset(), toxic.forMs)
    } else {
      if (toxic.kind === 'garbage') to.write(NOISE)
      this.#over = true
      this.#client.destroySoon()
      this.#server.destroySoon()
    }
    return null
  }
}

/** An orderly end was passed on before; anything else ends as what it is, a reset. */
function closeLike(from: Socket, to: Socket): void {
  if (from.readableEnded) to.destroySoon()
  else resetOne(to)
}

/** Node cannot reset a socket whose end is still being sent: its process would then never end,
 *  spinning in its own clean-up (seen with Node 26.10). */
function resetOne(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * A plan by chance: most connections live a while and then break in one of all ways. The n-th
 * connection of a seed always gets the same toxic. `meanBytes`: bytes until it strikes, on average.
 */
export function randomPlan(seed: number, meanBytes: number): (connection: number) => Toxic {
  return (connection) => {
    const chance = new Chance(seed * 100_003 + connection)
    const of = chance.often(0.2) ? 'up' : 'down'
    const afterBytes = Math.floor(chance.gap(meanBytes))
    const share = chance.next()
    if (share < 0.3) return { kind: 'reset_peer', of, afterBytes }
    if (share < 0.6) return { kind: 'limit_data', of, afterBytes }
    if (share < 0.75) return { kind: 'garbage', of, afterBytes }
    if (share < 0.8) return { kind: 'half_open', of, afterBytes, forMs: chance.whole(200, 2_000) }
    if (share < 0.85) return { kind: 'refuse' }
    if (share < 0.9) return { kind: 'slicer', size: chance.whole(1, 90) }
    if (share < 0.95) return { kind: 'latency', ms: chance.whole(1, 20) }
    return { kind: 'none' }
  }
}
