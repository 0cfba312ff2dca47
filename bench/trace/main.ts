// How to run: `npm run trace` (a few seconds). It starts a gate from `src`, sends a streamed chat
// completion through it, and prints which files of `src` have a function run between the request's first
// byte and its ending, in the order of their first call, and which room calls which.
//
// The files come from V8's precise counts (what NODE_V8_COVERAGE writes), the order from a debugger that
// stops at each function. A room is entered by a call from another room. Calls into `core` and `errors` do
// not count as entering, and `src/app.ts` hands through what it has wired: whoever calls it, calls what it
// calls. A room that has asked Node for an event, such as the end of an answer, hears it: that is told
// apart. The exit code is 1 when a room is entered twice.
import { once } from 'node:events'
import { Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'
import { MessageChannel, Worker } from 'node:worker_threads'
import { startGate } from './gate.ts'
import type { Ask, Call, Place } from './steps.ts'

const SRC = new URL('../../src/', import.meta.url).href
/** A function that is called more often is a loop: who calls it, shows elsewhere as well. */
const CALLS_MAX = 100
/** By so much the gate's time is slowed down while it is followed. */
const SLOWER = 20
const NO_ROOMS: ReadonlySet<string> = new Set(['core', 'errors', 'app.ts'])
/** What begins in these is the gate's own work: a busy machine may call for a probe meanwhile. */
const OWN_WORK: ReadonlySet<string> = new Set(['probe', 'supervisor'])

interface Ran extends Place {
  readonly calls: number
}

/** Counts the calls of each function in this thread; must exist before what it counts is loaded. */
class Counter {
  readonly #session = new Session()

  constructor() {
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  }

  /** The functions of `src` that ran since the last look. */
  take(): Ran[] {
    const ran: Ran[] = []
    this.#session.post('Profiler.takePreciseCoverage', (error, { result }) => {
      if (error !== null) throw error
      for (const { url, functions } of result.filter((script) => script.url.startsWith(SRC))) {
        for (const { ranges } of functions) {
          const [{ startOffset: offset, count: calls } = { startOffset: 0, count: 0 }] = ranges
          if (calls > 0) ran.push({ url, offset, calls })
        }
      }
    })
    return ran
  }

  stop(): void {
    this.#session.disconnect()
  }
}

/** Runs `task` under a debugger, and returns every call of these functions in order. */
async function followed(places: readonly Place[], task: () => Promise<void>): Promise<Call[]> {
  const { port1: port, port2 } = new MessageChannel()
  const worker = new Worker(fileURLToPath(new URL('steps.ts', import.meta.url)), {
    workerData: { port: port2 },
    transferList: [port2],
  })
  const tell = async (what: Ask): Promise<Call[]> => {
    port.postMessage(what)
    const [calls]: Call[][] = await once(port, 'message')
    return calls ?? []
  }
  await tell({ watch: places })
  await task()
  const calls = await tell('calls')
  await worker.terminate()
  return calls
}

const fileOf = (url: string): string => url.slice(SRC.length)
const roomOf = (file: string): string => file.split('/')[0] ?? file

/** The steps from one room to another, each with the files that show it. */
interface Steps {
  readonly called: Map<string, string>
  /** By an event of Node that the second room had asked for. */
  readonly heard: Map<string, string>
}

function stepsOf(calls: readonly Call[]): Steps {
  const steps: Steps = { called: new Map(), heard: new Map() }
  for (const { url, callers } of calls) {
    let from = ''
    let kind: keyof Steps = 'called'
    const way = [url, ...callers].toReversed()
    const first = way.find((one) => one.startsWith(SRC) && roomOf(fileOf(one)) !== 'runtime') ?? ''
    if (OWN_WORK.has(roomOf(first.slice(SRC.length)))) continue
    for (const one of way) {
      if (one === 'node:events') kind = 'heard'
      const to = one.startsWith(SRC) ? fileOf(one) : ''
      if (to === '' || NO_ROOMS.has(roomOf(to))) continue
      const step = `${roomOf(from)} → ${roomOf(to)}`
      const known = from === '' || roomOf(from) === roomOf(to) || steps[kind].has(step)
      if (!known) steps[kind].set(step, `${from} → ${to}`)
      from = to
      kind = 'called'
    }
  }
  return steps
}

/** Ways of calls that lead back into the room in which they began. */
function waysBack(steps: Iterable<string>): string[] {
  const next = new Map<string, string[]>()
  for (const step of steps) {
    const [from = '', to = ''] = step.split(' → ')
    next.set(from, [...(next.get(from) ?? []), to])
  }
  const found: string[][] = []
  const walk = (way: readonly string[]): void => {
    const begun = found.some((known) => way.every((room) => known.includes(room)))
    for (const room of begun ? [] : (next.get(way.at(-1) ?? '') ?? [])) {
      if (room === way[0]) found.push([...way, room])
      else if (!way.includes(room)) walk([...way, room])
    }
  }
  for (const room of next.keys()) walk([room])
  return found.map((way) => way.join(' → '))
}

function linesOf(steps: ReadonlyMap<string, string>): string[] {
  return [...steps].map(([step, shown]) => `  ${step.padEnd(24)} ${shown}`)
}

function report(files: readonly string[], { called, heard }: Steps, twice: string[]): string {
  const rooms = Map.groupBy(files, roomOf)
  return [
    `${files.length} files of src run a function between a request's first byte and its ending:`,
    ...files.map((file, at) => `${String(at + 1).padStart(4)}  src/${file}`),
    '',
    `By room: ${[...rooms].map(([room, own]) => `${room} ${own.length}`).join(', ')}`,
    '',
    'Rooms that call each other, in the order of the first call:',
    ...linesOf(called),
    '',
    'Rooms that hear an event of Node while another writes or reads:',
    ...linesOf(heard),
    '',
    twice.length === 0 ? 'No room is entered twice.' : 'Entered twice:',
    ...twice.map((way) => `  ${way}`),
    '',
  ].join('\n')
}

async function main(): Promise<void> {
  const counter = new Counter()
  const gate = await startGate()
  // The first request compiles what only it needs; the second is counted, the third is followed.
  await gate.ask()
  const unpark = gate.park()
  counter.take()
  await gate.ask()
  const ran = counter.take()
  counter.stop()
  const functions = ran.filter(({ calls, offset }) => calls <= CALLS_MAX && offset > 0)
  const calls = await followed(functions, () => {
    gate.park(SLOWER)
    return gate.ask()
  })
  unpark()
  await gate.close()
  const files = new Set(
    [...calls, ...ran].map(({ url }) => url).filter((url) => url.startsWith(SRC)),
  )
  const steps = stepsOf(calls)
  const twice = waysBack(steps.called.keys())
  process.stdout.write(report([...files].map(fileOf), steps, twice))
  process.exitCode = twice.length === 0 ? 0 : 1
}

await main()
