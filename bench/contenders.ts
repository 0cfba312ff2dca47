import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { basename, delimiter, join, resolve as absolute } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { haproxyConfig, nginxConfig } from './configs.ts'
import { gateVersion, packageVersion, said } from './facts.ts'

/** One way from the load to the stub. */
export interface Contender {
  readonly name: string
  /** Version, for the record; '' where there is none. */
  readonly version: string
  /** Does it run on Node, whose compiler wants to see load before it shows what it can? */
  readonly onNode: boolean
  /** Is it another checkout of the gate? */
  readonly compared: boolean
  /** null: nothing stands between (the direct way). */
  readonly start: ((dir: string, stubPort: number) => Promise<Running>) | null
}

/** A contender that listens. */
export interface Running {
  readonly port: number
  readonly pid: number
  readonly child: ChildProcess
  readonly stop: () => Promise<void>
}

/** Something that could not be measured, and how to have it. */
export interface Missing {
  readonly name: string
  readonly cure: string
}

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Where system programs lie that an ordinary user's PATH leaves out. */
const SYSTEM_DIRS = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin']
const START_MS_MAX = 15_000
const STOP_MS_MAX = 3_000

/** All that runs now, so that nothing stays behind when the bench is interrupted. */
const children = new Set<ChildProcess>()

/** Ends every contender at once. */
export function killContenders(): void {
  for (const child of children) child.kill('SIGKILL')
}

/** All contenders that are installed, in the order of the table, and those that are not.
 *  `compare`: other checkouts of the gate, to be measured in the same rounds under the names of
 *  their directories. */
export function findContenders(compare: readonly string[]): {
  readonly found: readonly Contender[]
  readonly missing: readonly Missing[]
} {
  const found: Contender[] = [
    { name: 'direct', version: '', onNode: false, compared: false, start: null },
  ]
  const missing: Missing[] = []
  const nginx = which('nginx')
  if (nginx === null) missing.push({ name: 'nginx', cure: 'apt-get install nginx' })
  else
    found.push({
      name: 'nginx',
      version: said(nginx, '-v'),
      onNode: false,
      compared: false,
      start: startNginx(nginx),
    })
  const haproxy = which('haproxy')
  if (haproxy === null) missing.push({ name: 'HAProxy', cure: 'apt-get install haproxy' })
  else
    found.push({
      name: 'HAProxy',
      version: said(haproxy, '-v'),
      onNode: false,
      compared: false,
      start: startHaproxy(haproxy),
    })
  const version = packageVersion('@fastify/http-proxy')
  if (version === null)
    missing.push({ name: 'http-proxy', cure: 'npm install @fastify/http-proxy' })
  else
    found.push({
      name: 'http-proxy',
      version,
      onNode: true,
      compared: false,
      start: startHttpProxy,
    })
  found.push({
    name: 'gengate',
    version: gateVersion(ROOT),
    onNode: true,
    compared: false,
    start: startGate(ROOT),
  })
  for (const root of compare) {
    const name = basename(absolute(root))
    found.push({
      name,
      version: gateVersion(root),
      onNode: true,
      compared: true,
      start: startGate(absolute(root)),
    })
  }
  return { found, missing }
}

function startNginx(program: string): Contender['start'] {
  return async (dir, stubPort) => {
    const port = await freePort()
    const config = join(dir, 'nginx.conf')
    writeFileSync(config, nginxConfig(dir, port, stubPort))
    return launch(program, ['-p', dir, '-c', config, '-e', join(dir, 'nginx.log')], { dir, port })
  }
}

function startHaproxy(program: string): Contender['start'] {
  return async (dir, stubPort) => {
    const port = await freePort()
    const config = join(dir, 'haproxy.cfg')
    writeFileSync(config, haproxyConfig(port, stubPort))
    return launch(program, ['-db', '-f', config], { dir, port })
  }
}

async function startHttpProxy(dir: string, stubPort: number): Promise<Running> {
  const port = await freePort()
  const entry = fileURLToPath(new URL('http-proxy.ts', import.meta.url))
  return launch(process.execPath, [entry, String(port), String(stubPort)], { dir, port })
}

/** The gate as a user starts it. `nodeArgs` go to Node, for the profile. */
export function startGate(
  root: string,
  nodeArgs: readonly string[] = [],
): NonNullable<Contender['start']> {
  return async (dir, stubPort) => {
    const port = await freePort()
    const env = {
      GENGATE_PORT: String(port),
      GENGATE_UPSTREAMS: `vllm_cpu=http://127.0.0.1:${stubPort}`,
    }
    const args = [...nodeArgs, join(root, 'bin/gengate.cjs'), 'serve']
    return launch(process.execPath, args, { dir, port, env, ready: '/readyz' })
  }
}

interface Launch {
  readonly dir: string
  readonly port: number
  readonly env?: Readonly<Record<string, string>>
  /** Asked until it answers 200. */
  readonly ready?: string
}

async function launch(program: string, args: readonly string[], how: Launch): Promise<Running> {
  mkdirSync(how.dir, { recursive: true })
  const log = openSync(join(how.dir, 'output.log'), 'a')
  const [command, ...rest] = pinned(0, program, ...args)
  const child = spawn(command, rest, {
    cwd: how.dir,
    // As little of ours as possible; IPC is for the profiler alone.
    env: { PATH: process.env['PATH'] ?? '', HOME: how.dir, ...how.env },
    stdio: ['ignore', log, log, 'ipc'],
  })
  children.add(child)
  child.once('exit', () => children.delete(child))
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await Promise.race([exited, sleep(STOP_MS_MAX)])
    if (child.exitCode === null) child.kill('SIGKILL')
  }
  for (let waited = 0; waited < START_MS_MAX; waited += 50) {
    if (child.exitCode !== null) break
    if (await answers(`http://127.0.0.1:${how.port}${how.ready ?? '/v1/models'}`)) {
      return { port: how.port, pid: child.pid ?? 0, child, stop }
    }
    await sleep(50)
  }
  await stop()
  const output = readFileSync(join(how.dir, 'output.log'), 'utf8').slice(-1_000)
  throw new Error(`${program} does not answer. ${output}`)
}

/** Can processes be pinned to a processor here? */
export function canPin(): boolean {
  return which('taskset') !== null
}

/** A command line that pins its program to one processor, where that can be done. The pinned
 *  program keeps the pid. */
export function pinned(core: number, program: string, ...args: string[]): [string, ...string[]] {
  const taskset = which('taskset')
  if (taskset === null) return [program, ...args]
  return [taskset, '-c', String(core), program, ...args]
}

function which(program: string): string | null {
  const dirs = [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_DIRS]
  return dirs.map((dir) => join(dir, program)).find((path) => existsSync(path)) ?? null
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { headers: { connection: 'close' } })
    await response.arrayBuffer()
    return response.status === 200
  } catch {
    return false
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}
