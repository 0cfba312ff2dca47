import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'

// Loaded into the gate before its own entry (`node --import`), for `--profile` alone: profiles
// between two messages of the bench, so that neither start nor warm-up is in the picture.

/** Sampling interval, µs: fine enough for functions of a few microseconds, at some per cent of cost. */
const INTERVAL_US = 200

const session = new Session()
session.connect()
await session.post('Profiler.enable')
await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US })

process.on('message', (message: { readonly begin?: true; readonly endTo?: string }) => {
  void obey(message)
})
// The channel alone must not keep the gate alive.
process.channel?.unref()

async function obey({ begin, endTo }: { begin?: true; endTo?: string }): Promise<void> {
  if (begin === true) await session.post('Profiler.start')
  if (endTo !== undefined) {
    const { profile } = await session.post('Profiler.stop')
    writeFileSync(endTo, JSON.stringify(profile))
  }
  process.send?.('done')
}
