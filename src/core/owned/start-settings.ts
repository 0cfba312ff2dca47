/** What the operator said about starting engines (`gengate run`), as texts: `src/launch/` parses
 *  them. Null: nothing. */
export interface StartSettings {
  /** `OPENCLAW_VLLM_MODEL`, else `VLLM_MODEL`. */
  readonly model: string | null
  readonly host: string | null
  readonly port: string | null
  readonly venv: string | null
  readonly python: string | null
  readonly maxModelLen: string
  readonly dtype: string | null
  /** GiB. */
  readonly kvCacheSpace: string
  readonly ompThreads: string
}
