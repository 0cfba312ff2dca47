/**
 * What the gate says of an engine's process that it owns. `asleep`: not started until a request needs
 * it. `waking`: started for a request that waits. `starting`: started, has yet to generate. `running`:
 * it has generated. `draining`: it is about to be ended. `exited`: it has ended and was not meant to.
 */
export type ProcessPhase = 'asleep' | 'waking' | 'starting' | 'running' | 'draining' | 'exited'

/** The phase of an owned process, and since when, monotonic ms. */
export interface OwnedProcess {
  readonly phase: ProcessPhase
  readonly at: number
  /** What the newest probe heard of it before it first generated; null: nothing that tells. */
  readonly heard: 'refused' | 'unreachable' | 'loading' | null
}

/** What an owner does with its process now. A closed set: a metric label and a status field. */
export const PROCESS_STATES = [
  /** Nothing runs and nothing is wanted. */
  'stopped',
  /** It starts when a request needs it. */
  'asleep',
  /** Something else has its port, or an older process of it is still ending. */
  'blocked',
  /** It has been started and has yet to generate. */
  'starting',
  'running',
  /** It gets nothing new and finishes what runs. */
  'draining',
  /** It was told to end. */
  'ending',
  /** It ended; the next start is put off. */
  'backing_off',
  /** It ended too often: it stays down until somebody looks. */
  'gave_up',
] as const
export type ProcessState = (typeof PROCESS_STATES)[number]

/** Why a process was ended, or that it ended by itself. A closed set: a metric label. */
export type EndCause =
  | 'exited'
  | 'wedged'
  | 'refused'
  | 'http_5xx'
  | 'truncated'
  | 'changed'
  | 'removed'
  | 'idle'
  | 'shutdown'

/** An owned process for people and programs to look at. No part of its command line but the name of
 *  the program: arguments may hold keys. Times are monotonic ms. */
export interface ProcessStatus {
  readonly state: ProcessState
  readonly since: number
  /** Of the process itself and of its group; null: nothing runs. */
  readonly pid: number | null
  /** The name of the program, without its folder. */
  readonly program: string
  readonly onDemand: boolean
  /** Restarts since the gate began, and ends of the last hour that count towards the cap: the newest
   *  may have no restart yet, and a restart that was wanted has no such end. */
  readonly restarts: number
  readonly restartsLastHour: number
  readonly lastEnd: { readonly cause: EndCause; readonly at: number; readonly how: string } | null
  readonly nextStartAt: number | null
  /** Path of the file with the output of the newest process, also when that has ended; null: none
   *  was started, or none can be written. */
  readonly log: string | null
  /** What it waits for and what to do, in a sentence, or ''. */
  readonly note: string
}

/** A step in the life of an owned process: what is logged and counted. */
export type ProcessStep =
  | 'started'
  /** Its first generation: it is eligible from here on. */
  | 'generated'
  | 'draining'
  | 'terminated'
  | 'killed'
  /** It ended as it was told to. */
  | 'ended'
  /** It ended by itself. */
  | 'died'
  | 'gave_up'
  | 'resumed'
  | 'blocked'

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
