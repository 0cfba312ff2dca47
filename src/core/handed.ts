/** A request that the door has let in, as every room behind it sees it. */
export interface Handed {
  readonly requestId: string
  /** Canonical: guards, routes and upstream share this one reading. */
  readonly path: string
  /** With its question mark, or ''. */
  readonly query: string
  /** Every CORS header for an allowed origin; empty otherwise. */
  readonly cors: Readonly<Record<string, string>>
  /** The `Via` that goes on to an upstream. */
  readonly via: string
}
