import { STATUS_CODES } from 'node:http'
import type { Answer } from '../errors/answer.ts'

/** An answer as bytes for a socket that no response object guards any more. Pure. */
export function rawAnswer(answer: Answer): string {
  const head = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const reason = STATUS_CODES[answer.status] ?? 'Error'
  return `HTTP/1.1 ${answer.status} ${reason}\r\n${head.join('')}connection: close\r\n\r\n${answer.body}`
}
