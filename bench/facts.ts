import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { fileURLToPath } from 'node:url'
import { isoTime, systemClock } from '../src/runtime/clock.ts'

/** What a reader must know to judge the numbers. */
export interface Facts {
  readonly date: string
  readonly commit: string
  readonly node: string
  readonly machine: string
  readonly load: string
}

/** Facts of this machine and this moment. `root`: the checkout. */
export function facts(root: string): Facts {
  const processors = cpus()
  const gb = (totalmem() / 1e9).toFixed(1)
  const model = processors[0]?.model.trim() ?? 'unknown processor'
  return {
    date: isoTime(systemClock.wallMs()).slice(0, 16).replace('T', ' '),
    commit: commitOf(root),
    node: process.version,
    machine: `${processors.length} × ${model}, ${gb} GB, ${type()} ${release()}`,
    load: loadavg()
      .slice(0, 2)
      .map((value) => value.toFixed(2))
      .join(', '),
  }
}

/** Facts as lines of Markdown. Pure. */
export function factLines(known: Facts, contenders: readonly string[]): string[] {
  return [
    `- Date: ${known.date} UTC; commit ${known.commit}; Node ${known.node}`,
    `- Machine: ${known.machine}; load average (1, 5 min) at the start ${known.load}`,
    `- Contenders: ${contenders.join(', ')}`,
  ]
}

/** The version of an installed package of the checkout's; null: it is not there. */
export function packageVersion(name: string): string | null {
  try {
    const path = fileURLToPath(new URL(`../node_modules/${name}/package.json`, import.meta.url))
    return versionIn(readFileSync(path, 'utf8'))
  } catch {
    return null
  }
}

/** Version and commit of a checkout of the gate. */
export function gateVersion(root: string): string {
  return `${versionIn(readFileSync(`${root}/package.json`, 'utf8')) ?? '?'} (${commitOf(root)})`
}

/** The version number in what a program says of itself. */
export function said(program: string, flag: string): string {
  const { stdout, stderr } = spawnSync(program, [flag], { encoding: 'utf8' })
  return /\d+\.\d+(\.\d+)?/.exec(`${stdout}${stderr}`)?.[0] ?? ''
}

/** The commit, and whether what runs differs from it. */
function commitOf(root: string): string {
  const git = (...args: readonly string[]): string =>
    execFileSync('git', ['-C', root, ...args], { encoding: 'utf8', stdio: 'pipe' }).trim()
  try {
    const changed = git('status', '--porcelain', '--', 'src', 'bin') !== ''
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`
  } catch {
    return 'no repository'
  }
}

function versionIn(manifest: string): string | null {
  const value: unknown = JSON.parse(manifest)
  const has = typeof value === 'object' && value !== null && 'version' in value
  return has ? String(value.version) : null
}
