import {
  brotliCompressSync,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib'
import t from 'tap'
import { codingOf, codingText, decoded, decoderOf } from '../../src/runtime/coding.ts'

// Rows of docs/faults.md that are shown here: unasked-coding.

const TEXT = Buffer.from('data: {"a":"é"}\n\n'.repeat(3_000))

for (const [coding, bytes] of [
  ['gzip', gzipSync(TEXT)],
  ['deflate', deflateSync(TEXT)],
  ['deflate', deflateRawSync(TEXT)],
  ['br', brotliCompressSync(TEXT)],
  ['zstd', zstdCompressSync(TEXT)],
] as const) {
  t.test(`${coding} is taken off, whole and as it comes`, async (t) => {
    t.ok(TEXT.equals(decoded(coding, bytes, TEXT.length) ?? Buffer.alloc(0)))
    t.equal(decoded(coding, bytes, TEXT.length - 1), null, 'and never grows beyond what may be')
    t.equal(decoded(coding, bytes.subarray(0, -9), TEXT.length), null, 'a part of it is broken')
    const stream = decoderOf(coding, bytes)[0]({ chunkSize: 16 * 1024 })
    for (const byte of bytes) stream.write(Buffer.of(byte))
    stream.end()
    const out: Buffer[] = []
    for await (const piece of stream) out.push(piece as Buffer)
    t.ok(TEXT.equals(Buffer.concat(out)))
  })
}

t.test('codingOf() knows one coding, and no two', async (t) => {
  for (const none of [undefined, '', ' ', 'identity']) t.equal(codingOf(none), null)
  t.equal(codingOf('x-gzip'), 'gzip')
  t.equal(codingOf(' GZIP '), 'gzip')
  for (const other of ['gzip, gzip', 'identity, gzip', 'compress', 'constructor']) {
    t.equal(codingOf(other), 'unknown', other)
  }
  t.equal(codingOf(['gzip', 'br']), 'unknown')
  t.equal(codingText(['gzip', 'br']), 'gzip, br')
  t.equal(codingText(`\n${'x'.repeat(100)}`), `?${'x'.repeat(39)}`)
  t.equal(decoded('gzip', Buffer.alloc(0), 1)?.length, 0)
})
