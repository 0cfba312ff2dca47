import process from 'node:process'

/** The environment of a program that a test starts: what programs need, no setting of ours, and `more`. */
export function childEnv(more: Record<string, string> = {}): Record<string, string> {
  const needed: Record<string, string> = {}
  for (const name of ['PATH', 'HOME', 'NODE_COMPILE_CACHE']) {
    const value = process.env[name]
    if (value !== undefined) needed[name] = value
  }
  return { ...needed, ...more }
}
