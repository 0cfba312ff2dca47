import { type Listener, leadsTo } from '../runtime/address.ts'
import type { UpstreamConfig } from './config.ts'
import { variableOf } from './names.ts'
import type { Reading } from './reading.ts'

/** Refuses an upstream that is the gate itself: every request would go round until it is cut. */
export function refuseOwnListener(
  reading: Reading,
  { spec }: UpstreamConfig,
  listener: Listener,
): void {
  if (!leadsTo(spec.url, listener)) return
  const variable = variableOf(spec.name, 'URL')
  const freePort = listener.port === 8010 ? 8020 : 8010
  const enginePort = listener.port === 65_535 ? 8001 : listener.port + 1
  reading.refuse(
    variable,
    `leads back to this gate, which listens on port ${listener.port} itself` +
      `${listener.port === 8000 ? " (vLLM's default port is 8000 too)" : ''}. Either move the ` +
      `engine to port ${enginePort} and set ${variable}=http://127.0.0.1:${enginePort}, ` +
      `or move the gate: GENGATE_PORT=${freePort}.`,
  )
}

/** Two upstreams of one kind whose URL is left to the default would be one server twice. */
export function refuseTwins(reading: Reading, upstreams: readonly UpstreamConfig[]): void {
  for (const [index, { spec }] of upstreams.entries()) {
    const variable = variableOf(spec.name, 'URL')
    const twin = upstreams
      .slice(0, index)
      .find(
        ({ spec: other }) =>
          other.url === spec.url && other.engine === spec.engine && other.model === spec.model,
      )
    if (twin === undefined || !reading.isDefault(variable)) continue
    reading.refuse(
      variable,
      `must be set: its default, ${spec.url}, is upstream ${twin.spec.name} already. ` +
        'Two upstreams may share a server if each has its own _MODEL.',
    )
  }
}
