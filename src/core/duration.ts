/** A duration as people say it: `40 ms`, `1.5 s`, `12 s`, `5 min`, `3 h`, `2 d`. Pure. */
export function durationText(ms: number): string {
  const whole = Math.max(0, Math.round(ms))
  if (whole > 0 && whole < 1_000) return `${whole} ms`
  const seconds = whole / 1_000
  if (seconds < 9.95) return `${Number(seconds.toFixed(1))} s`
  if (seconds < 119.5) return `${Math.round(seconds)} s`
  if (seconds < 7_170) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}
