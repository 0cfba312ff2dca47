import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Clock } from '../../src/runtime/clock.ts'
import { chatBody, requestBytes } from '../bodies.ts'

/** Long enough for whoever looks at running requests to look twice: a token each 50 ms. */
const EVENTS = 10
const TARGET = `/v1/chat/completions?kind=sse&events=${EVENTS}`
const BODY_BYTES = 200
/** For what follows the last byte: the event, its log line, the connection's return. */
const ENDING_MS = 100

/** A gate as `serve` builds it, before one upstream that it has proven, and one connection to it. */
export interface TracedGate {
  /** Sends a chat completion that streams; resolves when all that belongs to it has ended. */
  ask(): Promise<void>
  /** From now to the call of what is returned, timers that were set before do not fire: what the
   *  gate does for itself is then in nobody's trace. Its time runs `slower` by that factor, so that
   *  a debugger's pauses are no silence. */
  park(slower?: number): () => void
  close(): Promise<void>
}

export async function startGate(): Promise<TracedGate> {
  const [{ App }, { loadConfig }, { openLog }, { systemClock }] = await Promise.all([
    import('../../src/app.ts'),
    import('../../src/config/load.ts'),
    import('../../src/telemetry/log.ts'),
    import('../../src/runtime/clock.ts'),
  ])
  const stub = await startStub()
  const clock = parkingClock(systemClock)
  const env = {
    GENGATE_PORT: '0',
    GENGATE_EMBEDDED: 'off',
    GENGATE_UPSTREAMS: `one=http://127.0.0.1:${stub.port}`,
    // One probe before the first request is enough.
    GENGATE_PROBE_INTERVAL_MS: '60000',
    GENGATE_PROBE_QUIET_INTERVAL_MS: '600000',
  }
  const flags = { upstreams: [] }
  const loaded = loadConfig({ env, file: null, flags, readFile: () => null })
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.issues))
  const nowhere = openSync('/dev/null', 'w')
  const log = openLog({ level: 'info', clock, tty: false, color: false, to: nowhere })
  const app = new App(loaded.config, { clock, random: Math.random, version: 'trace', log })
  const { port } = await app.listen()
  while (!(await fetch(`http://127.0.0.1:${port}/readyz`)).ok) await sleep(20)
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return {
    ask: () => ask(socket),
    park: (slower) => clock.park(slower),
    async close() {
      socket.destroy()
      await app.close({ force: true })
      await log.close()
      closeSync(nowhere)
      stub.child.disconnect()
    },
  }
}

async function startStub(): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const child = fork(fileURLToPath(new URL('../stub.ts', import.meta.url)))
  const [told]: { readonly port: number }[] = await once(child, 'message')
  return { child, port: told?.port ?? 0 }
}

async function ask(socket: Socket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let answer = ''
  const hear = (part: Buffer): void => {
    answer += part.toString()
    if (answer.endsWith('0\r\n\r\n')) resolve()
  }
  const gone = (): void => reject(new Error(`the gate closed the connection after: ${answer}`))
  socket.on('data', hear).once('close', gone)
  socket.write(requestBytes(TARGET, chatBody(BODY_BYTES, true)))
  await promise
  socket.off('data', hear).off('close', gone)
  if (!/^HTTP\/1.1 200 [^]*\[DONE\]/.test(answer)) throw new Error(answer)
  await sleep(ENDING_MS)
}

function parkingClock(clock: Clock): Clock & { park(slower?: number): () => void } {
  const waiting = new Set<() => void>()
  let made = 0
  let parkedUpTo = 0
  let pace = { factor: 1, atMs: 0, nowMs: 0 }
  const nowMs = (): number => pace.nowMs + (clock.nowMs() - pace.atMs) / pace.factor
  const setPace = (factor: number): void => {
    pace = { factor, nowMs: nowMs(), atMs: clock.nowMs() }
  }
  return {
    ...clock,
    nowMs,
    after(delayMs, task) {
      const mine = ++made
      const cancel = clock.after(delayMs * pace.factor, () => {
        if (mine > parkedUpTo) task()
        else waiting.add(task)
      })
      return () => {
        cancel()
        waiting.delete(task)
      }
    },
    park(slower = 1) {
      parkedUpTo = made
      setPace(slower)
      return () => {
        parkedUpTo = 0
        setPace(1)
        for (const task of waiting) task()
        waiting.clear()
      }
    },
  }
}
