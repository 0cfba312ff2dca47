import { readFileSync } from 'node:fs'
import type { RawUpstream } from './raw-upstream.ts'

const FIXTURES = new URL('../fixtures/cases/', import.meta.url)

/** The raw answer of an engine, made after a public report. */
export function caseBytes(name: string): Buffer {
  return readFileSync(new URL(`${name}.http`, FIXTURES))
}

/** Plays it to every request, as it stands; the connection stays open. */
export function playing(name: string): RawUpstream['play'] {
  const bytes = caseBytes(name)
  return (socket) => void socket.write(bytes)
}
