/** The environment of a process that the gate starts. The gate's own settings stay with the gate:
 *  keys of upstreams are among them. Pure. */
export function childEnv(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^gengate_/i.test(name)))
}
