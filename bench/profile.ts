import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startGate } from './contenders.ts'
import { startCrew } from './crew.ts'
import type { Job } from './jobs.ts'
import { Bench } from './measures.ts'
import type { Plan } from './plan.ts'
import { type CpuProfile, profileText } from './self-time.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const WINDOW_MS = 5_000
/** Groups and functions that are printed of each profile. */
const MOST = 30

/** Profiles a warm gate under unary and under stream load; writes three files into `to`, for any
 *  viewer of `.cpuprofile`, and answers where the time went. */
export async function profileGate(plan: Plan, to: string, dir: string): Promise<string> {
  mkdirSync(to, { recursive: true })
  const crew = await startCrew()
  const preload = fileURLToPath(new URL('profiler.ts', import.meta.url))
  const gate = await startGate(ROOT, ['--import', preload])(dir, crew.stubPort)
  const told = (message: object): Promise<void> =>
    new Promise((resolve) => {
      gate.child.once('message', () => resolve())
      gate.child.send(message)
    })
  const profiled = async (name: string, job: Job): Promise<string> => {
    const file = join(to, `${name}.cpuprofile`)
    const running = crew.run(job)
    await told({ begin: true })
    await running
    await told({ endTo: file })
    // Written by V8 in the process beside us.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const profile = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile
    return profileText(name, profile, MOST)
  }
  const { port } = gate
  const window = { warmMs: 100, measuredMs: WINDOW_MS, pids: [] }
  const { connections, streams: count, eventsPerStream: events } = plan
  try {
    const contender = {
      name: 'gengate',
      version: '',
      onNode: true,
      compared: false,
      start: startGate(ROOT),
    }
    await new Bench(crew, plan, dir).warm({ contender, running: gate })
    const unary = { kind: 'unary', port, connections, bytes: 1_024, window } as const
    const large = { ...unary, bytes: 102_400 }
    const stream = { kind: 'streams', port, count, events, window } as const
    const texts = [await profiled('unary-1k', unary), await profiled('unary-100k', large)]
    return [...texts, await profiled('stream', stream)].join('\n\n')
  } finally {
    await gate.stop()
    crew.stop()
  }
}
