import type { Clock } from '../runtime/clock.ts'
import { descriptorSink, LineWriter, type Sink } from './line-writer.ts'
import { createLog, type LineStyle, type Log, renderLine } from './log.ts'
import { type Level, noteOf } from './record.ts'

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
