import { readFileSync } from 'node:fs'
import type { WireAnswer } from '../../src/probe/wire.ts'

/**
 * The n-th answer in a capture of a real engine (`test/fixtures/wire`), as the wire would give it.
 * In transcripts an answer ends where the next remark (`#`, `curl rc`) begins.
 */
export function capture(name: string, index = 0): Extract<WireAnswer, { kind: 'answer' }> {
  const file = new URL(`../fixtures/wire/${name}.txt`, import.meta.url)
  const text = readFileSync(file, 'utf8').replaceAll('\r\n', '\n')
  const part = text.split(/^(?=HTTP\/1\.[01] )/m).filter((piece) => piece.startsWith('HTTP/'))[
    index
  ]
  if (part === undefined) throw new Error(`no answer ${index} in ${name}`)
  const [head = '', ...rest] = part.split('\n\n')
  const body = rest.join('\n\n').split(/^(?:#|curl )/m)[0] ?? ''
  return {
    kind: 'answer',
    status: Number(head.slice(9, 12)),
    contentType: /^content-type: (.*)$/im.exec(head)?.[1]?.toLowerCase() ?? '',
    body: Buffer.from(body.trim()),
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
