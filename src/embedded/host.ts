import { PLAIN_SPEC, type UpstreamSpec } from '../core/upstream.ts'
import type { Clock } from '../runtime/clock.ts'
import { Embedded, type EmbeddedOptions } from './child.ts'
import { acceptsAt } from '../process/port.ts'

/** The name under which the embedded engine stands in the table. */
export const EMBEDDED_NAME = 'embedded'
/** How often a leaving engine is looked at until nothing runs there any more, ms. */
const LEAVE_LOOK_MS = 500

export type EmbeddedMode =
  | { readonly mode: 'off' }
  | { readonly mode: 'auto' }
  | { readonly mode: 'path'; readonly path: string }

export interface HostDeps {
  readonly clock: Clock
  /** Base URLs at which a default engine could be running already. */
  readonly urls: readonly string[]
  /** It serves at this URL: take it into the table, last; null: take it out. */
  readonly onSpec: (spec: UpstreamSpec | null) => void
  readonly onMessage: (text: string) => void
  readonly inFlight: (name: string) => number
  readonly start?: (options: EmbeddedOptions) => Pick<Embedded, 'stop'>
}

/**
 * When the embedded engine runs. With a path it is an ordinary upstream of the lowest priority.
 * `auto` joins only where no default engine accepts a connection, and leaves for good at the first
 * pass of a real upstream: its toy model must never answer where a real one could.
 */
export class EmbeddedHost {
  readonly #deps: HostDeps
  #engine: Pick<Embedded, 'stop'> | null = null
  #left = false
  #auto = false
  #cancel = (): void => {}

  constructor(deps: HostDeps) {
    this.#deps = deps
  }

  /** Starts it if this mode and the machine ask for it. Never rejects. */
  async start(mode: EmbeddedMode): Promise<void> {
    if (mode.mode === 'off' || this.#left) return
    this.#auto = mode.mode === 'auto'
    const {
      clock,
      urls,
      onSpec,
      onMessage,
      start = (options) => new Embedded(options),
    } = this.#deps
    const others = this.#auto ? urls.map((url) => acceptsAt(new URL(url), clock)) : []
    if ((await Promise.all(others)).includes(true) || this.#left) return
    this.#engine = start({
      clock,
      modelPath: mode.mode === 'path' ? mode.path : null,
      onReady: (url, model) => {
        if (!this.#left) onSpec(specOf(url, model))
      },
      onMessage,
    })
  }

  /** A real upstream has passed a probe. */
  realUpstreamPassed(): void {
    if (!this.#auto || this.#left || this.#engine === null) return
    this.#left = true
    this.#deps.onSpec(null)
    this.#deps.onMessage('A real upstream generates: the embedded engine has left.')
    this.#leave()
  }

  /** Ends it now. */
  async stop(): Promise<void> {
    this.#left = true
    this.#cancel()
    await this.#engine?.stop()
    this.#engine = null
  }

  /** Running answers finish first. */
  #leave(): void {
    if (this.#deps.inFlight(EMBEDDED_NAME) > 0) {
      this.#cancel = this.#deps.clock.after(LEAVE_LOOK_MS, () => this.#leave())
      return
    }
    void this.#engine?.stop()
    this.#engine = null
  }
}

function specOf(url: string, model: string): UpstreamSpec {
  return { ...PLAIN_SPEC, name: EMBEDDED_NAME, engine: 'embedded', url, model }
}
