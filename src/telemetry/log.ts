import type { GateEvent } from '../core/event.ts'
import { type Clock, isoTime } from '../runtime/clock.ts'
import { descriptorSink, LineWriter, type Sink } from './line-writer.ts'
import { type Level, LEVELS, type LogRecord, noteOf, recordOf } from './record.ts'

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
  const { tty, color, clock } = parts
  const lowest = LEVELS.indexOf(parts.level)
  const put = (record: LogRecord | null): void => {
    if (record === null || LEVELS.indexOf(record.level) < lowest) return
    parts.write(renderLine(record, { tty, color, wallMs: clock.wallMs() }))
  }
  return {
    observe: (event) => put(recordOf(event)),
    note: (level, event, text) => put(noteOf(level, event, text)),
  }
}

/** The line of an event, or null where it has none. Pure. */
export function formatLine(
  event: GateEvent,
  style: LineStyle & { readonly wallMs: number },
): string | null {
  const record = recordOf(event)
  return record === null ? null : renderLine(record, style)
}

/** A record as text with its line end. Pure. */
export function renderLine(
  record: LogRecord,
  style: LineStyle & { readonly wallMs: number },
): string {
  const time = isoTime(style.wallMs)
  if (!style.tty) {
    const { level, event, fields } = record
    const rest = JSON.stringify(fields).slice('{'.length)
    return `{"time":"${time}","level":"${level}","event":"${event}"${rest === '}' ? '' : ','}${rest}\n`
  }
  const clock = time.slice('2026-01-01T'.length, -1)
  const level = record.level.padEnd('error'.length)
  if (!style.color) return `${clock} ${level} ${record.sentence()}\n`
  return `${DIM}${clock}${PLAIN} ${COLORS[record.level]}${level}${PLAIN} ${record.sentence()}\n`
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

export interface OpenLogParts extends LineStyle {
  readonly level: Level
  readonly clock: Pick<Clock, 'after' | 'wallMs'>
  /** A file descriptor (1: stdout), or a sink of the caller's. */
  readonly to: number | Sink
}

/** Opens the log of one gate. Lines that a stopped reader costs are reported when it reads on. */
export function openLog(parts: OpenLogParts): OpenLog {
  const { clock, to, tty, color, level } = parts
  const sink = typeof to === 'number' ? descriptorSink(to, clock) : to
  const writer = new LineWriter(sink, clock, (count) => {
    const note = noteOf('warn', 'log_lines_dropped', `${count} log lines were dropped: nobody read`)
    return renderLine(note, { tty, color, wallMs: clock.wallMs() })
  })
  const log = createLog({ tty, color, level, clock, write: (line) => writer.write(line) })
  return { ...log, close: () => writer.close() }
}
