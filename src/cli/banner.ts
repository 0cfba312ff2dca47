import type { Config } from '../config/config.ts'
import { originOf } from '../runtime/address.ts'

/** What `serve` says once it listens: where, to whom it forwards, how to check. Pure. */
export function bannerLines(version: string, config: Config, port: number): string[] {
  const origin = originOf({ host: config.host, port })
  const width = Math.max(0, ...config.upstreams.map(({ spec }) => spec.name.length))
  return [
    `gengate ${version} listens on ${origin}/v1 and forwards to the first of these that generates:`,
    ...config.upstreams.map(({ spec }, index) => {
      const intent = spec.intent === 'enabled' ? '' : `, ${spec.intent}`
      return `  ${index + 1}. ${spec.name.padEnd(width)}  ${spec.url} (${spec.engine}${intent})`
    }),
    ...(config.embedded.mode === 'off' ? [] : [`  ${embeddedLine(config.embedded)}`]),
    `  check: gengate status | gengate diag | curl ${origin}/v1/models`,
  ]
}

function embeddedLine(embedded: Exclude<Config['embedded'], { mode: 'off' }>): string {
  return embedded.mode === 'auto'
    ? 'and to the embedded engine, while none of them answers'
    : `and last to the embedded engine, with ${embedded.path}`
}
