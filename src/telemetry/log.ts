import sonic from 'sonic-boom'
import type { GateEvent } from '../core/event.ts'
import { type Clock, isoTime } from '../runtime/clock.ts'
import { type Level, LEVELS, type Line, lineOf, noteOf } from './events.ts'

/** How lines look. */
export interface LineStyle {
  /** Readable columns for a terminal; otherwise one JSON object per line. */
  readonly tty: boolean
  /** Colours, on a terminal only. The caller honours NO_COLOR. */
  readonly color: boolean
}

/** The log of one gate. */
export interface Log {
  readonly observe: (event: GateEvent) => void
  /** A line about the gate itself; `event` is a closed set of words. */
  readonly note: (level: Level, event: string, text: string) => void
}

export interface LogParts extends LineStyle {
  readonly level: Level
  readonly clock: Pick<Clock, 'wallMs'>
  /** Takes one line with its line end. Must not block. */
  readonly write: (line: string) => void
}

/** One line per request and per change of state; nothing below `level`. */
export function createLog(parts: LogParts): Log {
  const { clock } = parts
  const lowest = LEVELS.indexOf(parts.level)
  const put = (event: string, line: Line | null): void => {
    if (line === null || LEVELS.indexOf(line.level) < lowest) return
    parts.write(renderLine(event, line, { ...parts, wallMs: clock.wallMs() }))
  }
  return {
    observe: (event) => put(event.type, lineOf(event)),
    note: (level, event, text) => put(event, noteOf(level, text)),
  }
}

/** A line as text with its end. Pure. */
function renderLine(
  event: string,
  { level, fields, sentence }: Line,
  { tty, color, wallMs }: LineStyle & { readonly wallMs: number },
): string {
  const time = isoTime(wallMs)
  if (!tty) {
    const rest = JSON.stringify(fields()).slice('{'.length)
    return `{"time":"${time}","level":"${level}","event":"${event}"${rest === '}' ? '' : ','}${rest}\n`
  }
  const clock = time.slice('2026-01-01T'.length, -1)
  const column = level.padEnd('error'.length)
  if (!color) return `${clock} ${column} ${sentence()}\n`
  return `${DIM}${clock}${PLAIN} ${COLORS[level]}${column}${PLAIN} ${sentence()}\n`
}

const PLAIN = '\u001B[0m'
const DIM = '\u001B[2m'
const COLORS: Readonly<Record<Level, string>> = {
  debug: DIM,
  info: '\u001B[32m',
  warn: '\u001B[33m',
  error: '\u001B[31m',
}

/** A log with its writer behind it. */
export interface OpenLog extends Log {
  /** Resolves when every line is out, or when a reader that stopped has had its time. */
  readonly close: () => Promise<void>
}

/** Opens the log of one gate. Lines that a stopped reader costs are reported when it reads on. `to`: a file
 *  descriptor; 2 is stderr. */
export function openLog(
  parts: Omit<LogParts, 'write' | 'clock'> & {
    readonly clock: Pick<Clock, 'after' | 'wallMs'>
    readonly to: number
  },
): OpenLog {
  const { clock } = parts
  const writer = openWriter(parts.to, clock, (count) => {
    const note = noteOf('warn', `${count} log lines were dropped: nobody read`)
    return renderLine('log_lines_dropped', note, { ...parts, wallMs: clock.wallMs() })
  })
  return { ...createLog({ ...parts, write: writer.write }), close: writer.close }
}

/** What may wait for a reader that does not read, bytes; beyond it new lines are dropped and counted. */
export const WAITING_BYTES_MAX = 256 * 1024
/** Two writes begin at least this far apart, ms: a line leaves at once when none did lately, and
 *  under load those of some milliseconds leave together. A write costs as much as ten lines. */
const APART_MS = 10
/** What leaves sooner, UTF-16 units. */
const PIECE_LENGTH = 64 * 1024
/** How long `close` waits for a reader before it gives up the rest. */
const CLOSE_MS_MAX = 500

interface Writer {
  readonly write: (line: string) => void
  readonly close: () => Promise<void>
}

/**
 * Writes lines without ever blocking the event loop, as `process.stderr.write` would on pipes and
 * terminals. A reader that stops costs lines, which `droppedLine` words, never a request
 * (docs/decisions/0024-lines-of-the-log.md).
 */
function openWriter(
  fd: number,
  clock: Pick<Clock, 'after'>,
  droppedLine: (count: number) => string,
): Writer {
  // Not 0 as `minLength`: `flush` would do nothing.
  const sizes = { minLength: 1, maxLength: WAITING_BYTES_MAX, maxWrite: WAITING_BYTES_MAX }
  const boom = new sonic.SonicBoom({ fd, sync: false, ...sizes, periodicFlush: 0, fsync: false })
  let waiting: string[] = []
  let length = 0
  let dropped = 0
  let isRefused = false
  let isIdle = true
  let pause: (() => void) | null = null
  let onIdle: (() => void) | null = null

  const send = (): void => {
    pause ??= clock.after(APART_MS, () => {
      pause = null
      if (waiting.length > 0) send()
    })
    const lines = waiting
    waiting = []
    length = 0
    isRefused = false
    isIdle = false
    boom.write(`${dropped === 0 ? '' : droppedLine(dropped)}${lines.join('')}`)
    dropped = isRefused ? dropped + lines.length : 0
  }
  const settle = (): void => {
    isIdle = true
    onIdle?.()
  }
  boom.on('drop', () => {
    isRefused = true
    // After an error a full backlog is tried again by nobody else (sonic-boom 4.2.1).
    boom.flush()
  })
  boom.on('drain', () => (dropped > 0 ? send() : settle()))
  // A reader that is gone may be replaced (a log daemon restarts): the next line tries again.
  boom.on('error', settle)

  return {
    write(line) {
      waiting.push(line)
      length += line.length
      if (pause === null || length >= PIECE_LENGTH) send()
    },
    close() {
      if (waiting.length > 0) send()
      pause?.()
      pause = null
      if (isIdle) return Promise.resolve()
      return new Promise((resolve) => {
        const cancel = clock.after(CLOSE_MS_MAX, resolve)
        onIdle = () => {
          cancel()
          resolve()
        }
      })
    },
  }
}
