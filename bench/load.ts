import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { chatBody, requestBytes } from './bodies.ts'
import { Caller, nowNs } from './caller.ts'
import { type Job, type JobResult, NO_RESULT, type Window } from './jobs.ts'
import { cpuNs } from './usage.ts'

// The clients of every contender, in one process on bare sockets. One job at a time, by message.

const TARGET = '/v1/chat/completions'
const SMALL_BYTES = 1_024
/** Connections are opened in such groups, so that no listener's queue overflows. */
const GROUP = 100
const kept: Socket[] = []

/** Runs the window over callers that are already at work. */
async function measured(window: Window, count: () => number): Promise<JobResult> {
  await sleep(window.warmMs)
  const begin = taken(window, count)
  await sleep(window.measuredMs)
  const end = taken(window, count)
  return {
    ...NO_RESULT,
    count: end.count - begin.count,
    wallNs: end.atNs - begin.atNs,
    ownCpuNs: end.ownNs - begin.ownNs,
    cpu: end.cpu.map((after, i) => {
      const before = begin.cpu[i]
      return after === null || before === null || before === undefined ? null : after - before
    }),
  }
}

function taken(window: Window, count: () => number) {
  const { user, system } = process.cpuUsage()
  const cpu = window.pids.map((pid) => cpuNs(pid))
  return { atNs: nowNs(), cpu, ownNs: (user + system) * 1_000, count: count() }
}

async function unary(job: Extract<Job, { kind: 'unary' }>): Promise<JobResult> {
  const request = requestBytes(
    `${TARGET}?kind=unary&bytes=${job.bytes}`,
    chatBody(job.bytes, false),
  )
  const callers = Array.from({ length: job.connections }, () => new Caller(job.port, () => request))
  const result = await measured(job.window, () => sum(callers, ({ cutter }) => cutter.ended))
  const errors = errorsOf(callers)
  for (const caller of callers) caller.stop()
  await gone(callers, 1_000)
  return { ...result, errors }
}

async function streams(job: Extract<Job, { kind: 'streams' }>): Promise<JobResult> {
  const body = chatBody(SMALL_BYTES, true)
  const callers: Caller[] = []
  for (let i = 0; i < job.count; i++) {
    // The first stream of each connection is cut short by another amount, so that ends are spread.
    let events = 1 + Math.floor((job.events * (i + 1)) / job.count)
    const next = (): Buffer => {
      const request = requestBytes(`${TARGET}?kind=sse&events=${events}`, body)
      events = job.events
      return request
    }
    callers.push(new Caller(job.port, next))
    if (i % GROUP === GROUP - 1) await sleep(20)
  }
  const result = await measured(job.window, () => sum(callers, ({ cutter }) => cutter.events))
  const errors = errorsOf(callers)
  for (const caller of callers) caller.destroy()
  await gone(callers, 1_000)
  return { ...result, errors }
}

async function ttfb(job: Extract<Job, { kind: 'ttfb' }>): Promise<JobResult> {
  // A stream of one token: its head, and its first and last events follow at once.
  const query = job.stream ? 'kind=sse&events=1' : `kind=unary&bytes=${SMALL_BYTES}`
  const request = requestBytes(`${TARGET}?${query}`, chatBody(SMALL_BYTES, job.stream))
  const latencies: number[] = []
  let sentAt = 0
  let waiting = false
  let counting = false
  const next = (): Buffer => {
    sentAt = nowNs()
    waiting = true
    return request
  }
  const caller = new Caller(job.port, next, () => {
    if (waiting && counting) latencies.push((nowNs() - sentAt) / 1_000)
    waiting = false
  })
  const begun = { ...job.window, warmMs: 0 }
  await sleep(job.window.warmMs)
  counting = true
  const result = await measured(begun, () => latencies.length)
  const errors = errorsOf([caller])
  caller.destroy()
  return { ...result, errors, latenciesUs: latencies.toSorted((a, b) => a - b) }
}

async function open(job: Extract<Job, { kind: 'open' }>): Promise<JobResult> {
  const request = requestBytes(`${TARGET}?kind=idle`, chatBody(2 * SMALL_BYTES, true))
  const callers: Caller[] = []
  for (let i = 0; i < job.count; i++) {
    const caller = new Caller(job.port, () => request)
    callers.push(caller)
    kept.push(caller.socket)
    if (i % GROUP === GROUP - 1) await sleep(50)
  }
  for (let waited = 0; waited < 50 && !callers.every(hasBegun); waited++) await sleep(100)
  const live = callers.filter(hasBegun).length
  return { ...NO_RESULT, count: live, errors: job.count - live }
}

function hasBegun({ cutter }: Caller): boolean {
  return cutter.events > 0
}

async function slow(job: Extract<Job, { kind: 'slow' }>): Promise<JobResult> {
  const request = requestBytes(
    `${TARGET}?kind=flood&bytes=${job.bytes}`,
    chatBody(SMALL_BYTES, true),
  )
  const socket: Socket = connect({
    port: job.port,
    host: '127.0.0.1',
    // One kilobyte, then a second of rest.
    onread: { buffer: Buffer.alloc(1_024), callback: () => pause(socket) },
  })
  socket.on('error', () => {})
  socket.once('connect', () => socket.write(request))
  kept.push(socket)
  return NO_RESULT
}

/** Answers what makes `onread` stop reading, and reads on in a second. */
function pause(socket: Socket): false {
  void sleep(1_000).then(() => socket.resume())
  return false
}

async function leave(job: Extract<Job, { kind: 'leave' }>): Promise<JobResult> {
  const stream = job.when === 'in_stream'
  const query = stream ? 'kind=sse&events=1000&mark=1' : 'kind=never&mark=1'
  const request = requestBytes(`${TARGET}?${query}`, chatBody(SMALL_BYTES, stream))
  const caller = new Caller(job.port, () => request)
  await sleep(job.afterMs)
  const asExpected = stream ? caller.cutter.events > 0 : !caller.cutter.within
  const leftAtNs = nowNs()
  caller.destroy()
  return { ...NO_RESULT, leftAtNs, errors: asExpected ? 0 : 1 }
}

async function release(): Promise<JobResult> {
  for (const socket of kept.splice(0)) socket.destroy()
  await sleep(300)
  return NO_RESULT
}

function run(job: Job): Promise<JobResult> {
  switch (job.kind) {
    case 'unary':
      return unary(job)
    case 'streams':
      return streams(job)
    case 'ttfb':
      return ttfb(job)
    case 'open':
      return open(job)
    case 'slow':
      return slow(job)
    case 'leave':
      return leave(job)
    case 'release':
      return release()
  }
}

async function gone(callers: readonly Caller[], limitMs: number): Promise<void> {
  for (let waited = 0; waited < limitMs && callers.some((c) => !c.socket.destroyed); waited += 10) {
    await sleep(10)
  }
  for (const caller of callers) caller.destroy()
  await sleep(100)
}

function errorsOf(callers: readonly Caller[]): number {
  return sum(callers, ({ cutter, errors }) => cutter.bad + errors)
}

function sum(callers: readonly Caller[], of: (caller: Caller) => number): number {
  return callers.reduce((total, caller) => total + of(caller), 0)
}

process.on('message', (job: Job) => {
  void run(job).then((result) => process.send?.(result))
})
process.once('disconnect', () => process.exit())
process.send?.({ ready: true })
