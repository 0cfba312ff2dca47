import { readFileSync } from 'node:fs'
import type { WireAnswer } from '../../src/probe/wire.ts'

/** The text of a capture, a character per byte. */
export function textOf(name: string): string {
  return readFileSync(new URL(`../fixtures/wire/${name}.txt`, import.meta.url), 'latin1')
}

/** Head and body of its n-th answer, as they stand there. */
export function partOf(name: string, at: number): [head: string, said: string] {
  const parts = textOf(name).split(/^(?=HTTP\/1\.[01] )/m)
  const part = parts.filter((piece) => piece.startsWith('HTTP/'))[at]
  if (part === undefined) throw new Error(`no answer ${at} in ${name}`)
  const [head = '', ...rest] = part.split(/\r?\n\r?\n/)
  return [head, rest.join('\n\n').split(/^(?:#|curl )/m)[0] ?? '']
}

/**
 * The n-th answer in a capture of a real engine (`test/fixtures/wire`), as the wire would give it.
 * In transcripts an answer ends where the next remark (`#`, `curl rc`) begins.
 */
export function capture(name: string, index = 0): Extract<WireAnswer, { kind: 'answer' }> {
  const [head, said] = partOf(name, index)
  return {
    kind: 'answer',
    status: Number(head.slice(9, 12)),
    contentType: /^content-type: (.*?)\r?$/im.exec(head)?.[1]?.toLowerCase() ?? '',
    body: Buffer.from(said.replaceAll('\r\n', '\n').trim(), 'latin1'),
  }
}

/** The parsed JSON body of a capture; undefined when it is none. */
export function capturedJson(name: string, index = 0): unknown {
  const text = Buffer.from(capture(name, index).body).toString()
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
