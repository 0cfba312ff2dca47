import { readFileSync } from 'node:fs'
import { type Debugger, Session } from 'node:inspector/promises'
import { fileURLToPath } from 'node:url'
import { type MessagePort, workerData } from 'node:worker_threads'

// The debugger of `npm run trace`: a thread of its own, which stops the main thread for an instant at
// each call of the functions that it is told of, and notes who called.

/** Where a function begins. */
export interface Place {
  readonly url: string
  readonly offset: number
}

/** One call of a function, by files. */
export interface Call {
  readonly url: string
  readonly name: string
  /** Who called it, who called that, and so on, up to the event loop. */
  readonly callers: readonly string[]
}

export type Ask = { readonly watch: readonly Place[] } | 'calls'

const { port }: { readonly port: MessagePort } = workerData
const session = new Session()
session.connectToMainThread()
const calls: Call[] = []
const begins = new Set<string>()
const scripts = new Map<string, string>()

session.on('Debugger.scriptParsed', ({ params }) => scripts.set(params.scriptId, params.url))
session.on('Debugger.paused', ({ params }) => {
  const [frame, ...callers] = params.callFrames
  if (frame !== undefined && begins.has(placeOf(frame.location))) {
    calls.push({ url: urlOf(frame), name: frame.functionName, callers: callers.map(urlOf) })
  }
  void session.post('Debugger.resume')
})
port.on('message', (what: Ask) => void obey(what))

async function obey(what: Ask): Promise<void> {
  if (what === 'calls') return port.postMessage(calls)
  await session.post('Debugger.enable')
  for (const place of what.watch) await breakAt(place)
  port.postMessage([])
}

/** Sets a breakpoint at the function's first statement. */
async function breakAt({ url, offset }: Place): Promise<void> {
  // Types are stripped by blanks: every place in the file is the same in what runs.
  const before = readFileSync(fileURLToPath(url), 'utf8').slice(0, offset).split('\n')
  const at = { lineNumber: before.length - 1, columnNumber: before.at(-1)?.length ?? 0 }
  const { locations } = await session.post('Debugger.setBreakpointByUrl', { url, ...at })
  for (const location of locations) begins.add(placeOf(location))
}

function urlOf({ location }: Debugger.CallFrame): string {
  return scripts.get(location.scriptId) ?? ''
}

function placeOf({ scriptId, lineNumber, columnNumber = 0 }: Debugger.Location): string {
  return [scriptId, lineNumber, columnNumber].join(' ')
}
