import { urlName } from '../launch/address.ts'
import type { Runnable } from '../launch/start-line.ts'
import type { Holder } from './port-holder.ts'

/** A listener that could not be had. */
export interface TakenPort {
  readonly host: string
  readonly port: number
}

/** Who holds the port, in words. Pure. */
export function describeHolder(holder: Holder): string {
  const { serves } = holder
  const by = describeProcess(holder)
  switch (serves.kind) {
    case 'gengate':
      return `another gengate${version(serves.version)} (${by})`
    case 'vllm':
      return `a vLLM${version(serves.version)} (${by})`
    case 'openai':
      return `an OpenAI-compatible server${serves.owner === null ? '' : ` "${serves.owner}"`} (${by})`
    case 'http':
      return `an HTTP server (${by})`
    case 'silent':
      return by
  }
}

/** The process that holds it, in words. Pure. */
export function describeProcess({ process }: Pick<Holder, 'process'>): string {
  if (process === null) return 'an unknown process'
  return process.pid === null ? process.name : `${process.name}, pid ${process.pid}`
}

/** What to print when `serve` cannot have its port: who has it, and each way out. Pure. */
export function portAdvice({ host, port }: TakenPort, holder: Holder): string[] {
  return [
    `gengate: port ${port} on ${host} is taken by ${describeHolder(holder)}.`,
    ...waysOut(port, holder),
  ]
}

/** What to print when an engine cannot have its port. It is not ours to stop what holds it. `probe`:
 *  whom `gengate probe` is to ask there. Pure. */
export function enginePortAdvice(
  engine: Runnable,
  { host, port, probe }: TakenPort & { readonly probe: string },
  holder: Holder,
): string[] {
  const other = port + 10
  const pid = holder.process?.pid ?? null
  const stop = pid === null ? 'Stop it' : `Stop it (kill ${pid})`
  const move = engine.startsWith('vllm_')
    ? `VLLM_PORT=${other} gengate run ${engine}`
    : `${urlName(engine)}=http://127.0.0.1:${other} gengate run ${engine}`
  const running = holder.serves.kind === 'vllm' || holder.serves.kind === 'openai'
  return [
    `gengate: port ${port} on ${host} is taken by ${describeHolder(holder)}.`,
    ...(running ? [`If that is the engine, it runs already: gengate probe ${probe}`] : []),
    `${stop}, or take another port: ${move}`,
  ]
}

function waysOut(port: number, { process, serves }: Holder): string[] {
  const other = port + 10
  switch (serves.kind) {
    case 'gengate':
      return [
        'It is running already: `gengate status` shows what it does.',
        `To run a second one: GENGATE_PORT=${other} gengate serve`,
      ]
    case 'vllm': {
      const engine = port === 8001 ? 8002 : 8001
      const name = engine === 8001 ? 'vllm_cpu' : 'vllm_metal'
      return [
        'Two ways out:',
        `  1. Move the engine to ${engine}, where gengate looks for ${name}, then start the gate:`,
        `       vllm serve ${serves.model ?? 'MODEL'} --port ${engine}`,
        '       gengate serve',
        `  2. Leave the engine where it is; clients then use http://127.0.0.1:${other}/v1:`,
        `       GENGATE_PORT=${other} GENGATE_VLLM_CPU_URL=http://127.0.0.1:${port} gengate serve`,
      ]
    }
    case 'openai':
      return [
        'Move that server to another port, or leave it and put the gate in front of it:',
        `  GENGATE_PORT=${other} gengate serve --upstream http://127.0.0.1:${port}`,
      ]
    case 'http':
    case 'silent': {
      const stop =
        process === null || process.pid === null ? 'Stop it' : `Stop it (kill ${process.pid})`
      return [`${stop}, or take another port: GENGATE_PORT=${other} gengate serve`]
    }
  }
}

function version(number: string | null): string {
  return number === null ? '' : ` ${number}`
}

/** What to print when the listener fails for another reason than a taken port. Pure. */
export function listenAdvice({ host, port }: TakenPort, code: string): string {
  const where = `gengate: cannot listen on ${host} port ${port} (${code})`
  if (code === 'EACCES') return `${where}. Ports below 1024 need privileges: set GENGATE_PORT.`
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return `${where}. This machine has no such address: set GENGATE_HOST.`
  }
  return `${where}.`
}
