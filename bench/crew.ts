import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { pinned } from './contenders.ts'
import type { Job, JobResult } from './jobs.ts'

/** Stub and load: two processes that share the processor which the contenders do not have. */
export interface Crew {
  readonly stubPort: number
  readonly stubPid: number
  readonly run: (job: Job) => Promise<JobResult>
  /** Waits for the next close of a marked connection at the stub; null: none within the limit. */
  readonly closedAtNs: (limitMs: number) => Promise<number | null>
  /** Forgets closes that nobody asked for. */
  readonly forget: () => void
  readonly stop: () => void
}

/** Starts both. They end with their channel, so that nothing stays behind if this process dies. */
export async function startCrew(): Promise<Crew> {
  const stub = start('stub.ts')
  const load = start('load.ts')
  const closes: number[] = []
  stub.on('message', (message: { readonly closedAtNs?: number }) => {
    if (message.closedAtNs !== undefined) closes.push(message.closedAtNs)
  })
  const [{ port }] = await Promise.all([next<{ port: number }>(stub), next(load)])
  return {
    stubPort: port,
    stubPid: stub.pid ?? 0,
    run(job) {
      load.send(job)
      return next<JobResult>(load)
    },
    async closedAtNs(limitMs) {
      for (let waited = 0; waited < limitMs && closes.length === 0; waited += 5) await sleep(5)
      return closes.shift() ?? null
    },
    forget() {
      closes.length = 0
    },
    stop() {
      stub.disconnect()
      load.disconnect()
    },
  }
}

function start(file: string): ChildProcess {
  const entry = fileURLToPath(new URL(file, import.meta.url))
  const [command, ...args] = pinned(1, process.execPath, entry)
  return spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
}

/** The next message. Rejects when the process ends. */
function next<Message>(child: ChildProcess): Promise<Message> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error('stub or load ended'))
    child.once('exit', ended)
    child.once('message', (message) => {
      child.off('exit', ended)
      // What it holds is between the two files of ours.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      resolve(message as Message)
    })
  })
}
