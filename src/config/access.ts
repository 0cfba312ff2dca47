import { isLoopback } from '../runtime/address.ts'
import { parseKeysFile } from './keys.ts'
import { quoted } from './parsed.ts'
import type { Reading } from './reading.ts'
import type { ReadFile } from './upstreams.ts'

/** The keys that clients may use, of both settings. */
export function readApiKeys(reading: Reading, readFile: ReadFile): readonly string[] {
  const keys = reading.global('GENGATE_API_KEYS') ?? []
  const path = reading.global('GENGATE_API_KEYS_FILE')
  if (path === null) return keys
  const content = readFile(path)
  if (content === null) {
    reading.refuse('GENGATE_API_KEYS_FILE', 'names a file that cannot be read.')
    return keys
  }
  const parsed = parseKeysFile(content)
  if (parsed.ok) return [...new Set([...keys, ...parsed.value])]
  for (const message of parsed.messages) reading.refuse('GENGATE_API_KEYS_FILE', message)
  return keys
}

/** Refuses a listener that strangers can reach; `guarded`: a key is needed, or the operator vouches
 *  for the bind. */
export function refuseOpenBind(reading: Reading, host: string, guarded: boolean): void {
  const doubtful = ['GENGATE_HOST', 'GENGATE_API_KEYS', 'GENGATE_API_KEYS_FILE']
  if (guarded || isLoopback(host) || doubtful.some((name) => reading.refused(name))) return
  reading.refuse(
    'GENGATE_HOST',
    `is ${quoted(host)}, which other machines can reach, and no API key is set. ` +
      'Set GENGATE_API_KEYS; or GENGATE_TRUSTED_BIND=1 if the port is published to 127.0.0.1 only.',
  )
}
