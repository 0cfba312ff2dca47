import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../support/owned.ts'
import { until as soon } from '../engines/start.ts'
import { prometheusProgram } from './installed.ts'

/** A real Prometheus that scrapes one gate. */
export interface Prometheus {
  /** `data` of an answer of its HTTP API; throws on anything but success. `T` states its shape. */
  api<T>(path: string, query?: Record<string, string>): Promise<T>
  /** The value of an expression that has one series; null: it has none. */
  value(expression: string): Promise<number | null>
  /** Waits until the expression has a series (a comparison has one where it holds). */
  until(expression: string): Promise<void>
  /** Waits for two more scrapes, so that everything until now has been seen. */
  seen(): Promise<void>
}

interface Teardown {
  teardown: (end: () => Promise<void>) => unknown
}

const SCRAPE_MS = 200
const SOON = { limitMs: 15_000, everyMs: 50 }

/** Starts Debian's binary on a free port with a folder of its own and ends it after `t`, by its
 *  process id. `rules` is a rules file as YAML. */
export async function startPrometheus(
  t: Teardown,
  what: { readonly port: number; readonly rules: string },
): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'gengate-prometheus-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const config = join(folder, 'prometheus.yml')
  await writeFile(join(folder, 'rules.yml'), what.rules)
  await writeFile(config, configOf(what.port))
  const port = await freePort()
  const child = spawn(
    prometheusProgram('prometheus'),
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { cwd: folder, env: {}, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let log = ''
  child.stderr.on('data', (chunk) => (log += String(chunk)))
  const gone = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await gone
  })
  const url = `http://127.0.0.1:${port}`
  const ready = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`prometheus ended with ${child.exitCode}: ${log}`)
    return (await fetch(`${url}/-/ready`).catch(() => null))?.ok ?? false
  }
  await soon(ready, SOON).catch((error: Error) => {
    throw new Error(`prometheus is not ready: ${log}`, { cause: error })
  })
  return clientOf(url)
}

function configOf(gatePort: number): string {
  const every = `${SCRAPE_MS}ms`
  return `
global: { scrape_interval: ${every}, scrape_timeout: ${every}, evaluation_interval: ${every} }
rule_files: [rules.yml]
scrape_configs:
  - job_name: gengate
    static_configs: [{ targets: ['127.0.0.1:${gatePort}'] }]
`
}

function clientOf(url: string): Prometheus {
  async function api<T>(path: string, query: Record<string, string> = {}): Promise<T> {
    const answer = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(query).toString()}`)
    const body = (await answer.json()) as { status: string; error?: string; data: T }
    if (body.status !== 'success') throw new Error(`${path}: ${body.error ?? answer.status}`)
    return body.data
  }
  async function value(expression: string): Promise<number | null> {
    const { result } = await api<Vector>('query', { query: expression })
    if (result.length > 1) throw new Error(`${expression} has ${result.length} series`)
    return result[0] === undefined ? null : Number(result[0].value[1])
  }
  const until = (expression: string): Promise<void> =>
    soon(
      async () => (await api<Vector>('query', { query: expression })).result.length > 0,
      SOON,
    ).catch(() => Promise.reject(new Error(`never: ${expression}`)))
  return {
    api,
    value,
    until,
    seen: () => until(`timestamp(up) > ${Date.now() / 1000 + SCRAPE_MS / 1000}`),
  }
}

/** The answer of an instant query. */
export interface Vector {
  readonly result: readonly {
    readonly metric: Readonly<Record<string, string>>
    readonly value: readonly [number, string]
  }[]
}
