import type { EngineKind } from '../../src/core/upstream.ts'
import { quirksOf } from '../../src/engines/index.ts'
import { Listing } from '../../src/probe/listing.ts'
import {
  type Memory,
  NO_MEMORY,
  type Round,
  type RoundResult,
  runRound,
} from '../../src/probe/round.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { FakeWire } from './fake-wire.ts'

/** Rounds about one server, with what is remembered between them. */
export class Bench {
  readonly apiKey = 'sesame-key-1'
  readonly clock = new VirtualClock()
  readonly wire = new FakeWire()
  readonly told: (readonly string[])[] = []
  /** What it was said to have in memory, by round. */
  readonly loaded: (readonly string[] | null)[] = []
  readonly listing: Listing
  sent = 0
  memory: Memory = NO_MEMORY
  readonly #engine: EngineKind
  readonly #model: string | null

  constructor(engine: EngineKind, model: string | null = null) {
    this.#engine = engine
    this.#model = model
    this.listing = new Listing({
      clock: this.clock,
      get: this.wire.get,
      onModels: (models) => this.told.push(models.map(({ id }) => id)),
    })
  }

  /** One round, given as much virtual time as it wants. */
  async round(withinMs = 40_000): Promise<RoundResult['outcome']> {
    const round: Round = {
      target: { url: 'http://127.0.0.1:1', apiKey: this.apiKey, connectTimeoutMs: 1_000 },
      quirks: quirksOf(this.#engine),
      model: this.#model,
      swaps: 'auto',
      proven: [],
      maxTokens: 1,
      limitMs: 30_000,
      queryLimitMs: 1_000,
      clock: this.clock,
      signal: new AbortController().signal,
      wire: this.wire,
      listing: this.listing,
      onLoaded: (names) => this.loaded.push(names),
      onSent: () => this.sent++,
      onProgress: () => {},
    }
    const running = runRound(round, this.memory)
    await this.clock.advance(withinMs)
    const { outcome, memory } = await running
    this.memory = memory
    return outcome
  }

  get asked(): (string | null)[] {
    return this.wire.probes.map((call) => call.model)
  }

  get kinds(): string[] {
    return this.wire.probes.map((call) => call.kind)
  }

  get paths(): string[] {
    return this.wire.gets.map((call) => call.path)
  }
}
