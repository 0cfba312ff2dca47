/** More gates than this in one chain are a loop that nobody meant. */
const GATES_MAX = 5

/**
 * The `Via` to send on, and whether the request has been here before. Only the gates of the chain
 * are carried: other proxies' entries are of no use to an engine.
 */
export function viaOf(
  incoming: string | string[] | undefined,
  instanceId: string,
): { readonly value: string; readonly loop: boolean } {
  const own = `gengate-${instanceId}`
  if (incoming === undefined) return { value: `1.1 ${own}`, loop: false }
  const entries = (Array.isArray(incoming) ? incoming.join(',') : incoming).split(',')
  const gates = entries.flatMap((entry) => {
    const by = entry.trim().split(/\s+/)[1] ?? ''
    return /^gengate-[\w.-]{1,64}$/.test(by) ? [by] : []
  })
  const value = [...gates.slice(-GATES_MAX), own].map((gate) => `1.1 ${gate}`).join(', ')
  return { value, loop: gates.includes(own) || gates.length > GATES_MAX }
}
