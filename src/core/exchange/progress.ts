/** A stream is established, and its tokens count as progress, once it has delivered for this long
 *  or this often: an engine that gives each new stream a token or two and freezes must not look
 *  alive. */
const ESTABLISHED_MS = 500
const ESTABLISHED_EVENTS = 4

/** Progress is reported at most this often per upstream; the table needs no more. */
const REPORT_MS = 100

/** Do the tokens of a stream count as progress? `livedMs`: since its first; `events`: before this
 *  one. Pure. */
export function isEstablished(livedMs: number, events: number): boolean {
  return livedMs >= ESTABLISHED_MS || events >= ESTABLISHED_EVENTS
}

/** Is it time to report the progress of an upstream again? Pure. */
export function isReportDue(sinceLastMs: number): boolean {
  return sinceLastMs >= REPORT_MS
}
