import {
  ARRIVED,
  type AttemptEnding,
  type ExchangeEffect,
  type ExchangeEvent,
  type ExchangeState,
  type Failed,
  type FailoverBudget,
  type Flow,
  type Wish,
} from '../../src/core/exchange/exchange.ts'
import { fullBudget } from '../../src/core/exchange/ending.ts'
import { next } from '../../src/core/exchange/next.ts'
import type { FlightItem } from '../../src/core/health/evidence.ts'
import type { World } from './world.ts'

/** A chat that may be sent again; everything not named is ordinary. */
export function wish(over: Partial<Wish> = {}): Wish {
  return {
    requestId: 'r',
    path: '/v1/chat/completions',
    arrivedAt: 0,
    wants: { model: null, work: 'generation' },
    size: { bytes: 100, streamed: true, maxTokens: null },
    replay: true,
    judged: true,
    holdMs: 2_000,
    commitAt: null,
    ...over,
  }
}

/** An attempt that failed before anything reached the client. */
export function failed(why: Failed['why'], over: Partial<Failed> = {}): Failed {
  const code = 'upstream_error'
  return { kind: 'failed', why, code, detail: '', sent: true, answer: null, ...over }
}

/** A whole answer of an upstream. */
export const answer = (status: number) => ({ status, headers: {}, body: Buffer.from('{}') })

/** One request over the table of a world, whose effects are looked at instead of done. */
export class OneRequest {
  readonly world: World
  readonly wish: Wish
  state: ExchangeState = ARRIVED
  budget: FailoverBudget = fullBudget(0)
  /** Leases of others, by upstream. */
  inFlight: Readonly<Record<string, number>> = {}
  waiting = 0
  random = 0
  item: FlightItem = { sentAt: 0, contentAt: null, ...wish().size }

  constructor(world: World, over: Partial<Wish> = {}) {
    this.world = world
    this.wish = wish(over)
  }

  /** One event, and all that is to be done for it; evidence and budget are taken note of. */
  tell(event: ExchangeEvent): ExchangeEffect[] {
    const { state, effects } = next(this.state, event, {
      wish: this.wish,
      table: this.world.table,
      nowMs: this.world.now,
      inFlight: (name) => this.inFlight[name] ?? 0,
      waiting: this.waiting,
      budget: this.budget,
      random: () => this.random,
    })
    this.state = state
    return effects.flatMap((effect) => [effect, ...this.#after(effect)])
  }

  #after(effect: ExchangeEffect): ExchangeEffect[] {
    if (effect.type === 'budget') this.budget = effect.left
    if (effect.type === 'evidence') {
      this.world.tell(effect.upstream, effect.evidence, effect.epoch)
    }
    if (effect.type === 'send') {
      this.item = { ...this.wish.size, sentAt: this.world.now, contentAt: null, cold: effect.cold }
    }
    return effect.type === 'decide' ? this.tell({ type: 'decide' }) : []
  }

  decide(): ExchangeEffect[] {
    return this.tell({ type: 'decide' })
  }

  /** The attempt ends so. */
  ends(ending: AttemptEnding, pausedMs = 0): ExchangeEffect[] {
    return this.tell({ type: 'attempt_ended', ending, item: this.item, pausedMs })
  }

  look(flow: Flow = { stillMs: 0, blocked: false }): ExchangeEffect[] {
    return this.tell({ type: 'look', item: this.item, flow })
  }

  /** Content has begun to reach the client. */
  flows(): void {
    this.tell({ type: 'first_content' })
    this.tell({ type: 'committed' })
    this.item = { ...this.item, contentAt: this.world.now }
  }
}

/** The effect of this kind; it must be there. */
export function only<T extends ExchangeEffect['type']>(
  effects: readonly ExchangeEffect[],
  type: T,
): Extract<ExchangeEffect, { type: T }> {
  const found = effects.filter((effect) => effect.type === type)
  if (found.length !== 1) throw new Error(`${found.length} × ${type} in ${text(effects)}`)
  return found[0] as Extract<ExchangeEffect, { type: T }>
}

/** What is done and where, in a few words: `send a`, `answer queue_full`, `over failed`. */
export function text(effects: readonly ExchangeEffect[]): string {
  const words = effects.map((effect) => {
    switch (effect.type) {
      case 'send':
        return `send ${effect.entry.spec.name}`
      case 'answer':
      case 'cut':
        return `${effect.type} ${effect.code}`
      case 'over':
        return `over ${effect.summary.ending}`
      case 'emit':
        return effect.event.type
      case 'evidence':
        return `learn ${effect.evidence.type}`
      case 'abandon':
        return `abandon ${effect.ending.kind}`
      case 'release':
      case 'replay':
      case 'wait':
      case 'decide':
      case 'budget':
      case 'commit_pending':
      case 'pass_on':
      case 'end':
      case 'hang_up':
        return effect.type
    }
  })
  return words.join(', ')
}
