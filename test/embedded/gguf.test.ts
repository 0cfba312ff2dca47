import t from 'tap'
import { GGUF_ALIGNMENT_BYTES, ggufValue, writeGguf } from '../../src/embedded/gguf.ts'

const u64 = (n: number): string => Buffer.from([n, 0, 0, 0, 0, 0, 0, 0]).toString('hex')
const u32 = (n: number): string => Buffer.from([n, 0, 0, 0]).toString('hex')
const key = (name: string): string => u64(1) + Buffer.from(name).toString('hex')

t.test('writeGguf() writes version 3, byte by byte', async (t) => {
  const file = Buffer.from(
    writeGguf({
      metadata: [
        ['a', ggufValue.u32(7)],
        ['b', ggufValue.string('é')],
        ['c', ggufValue.bool(true)],
        ['d', ggufValue.i32s([-1])],
        ['e', ggufValue.strings(['x'])],
        ['f', ggufValue.f32(0.5)],
      ],
      tensors: [
        { name: 't', shape: [2, 1], data: Float32Array.of(1, -2) },
        { name: 'u', shape: [1], data: Float32Array.of(3) },
      ],
    }),
  )
  const head = [
    Buffer.from('GGUF').toString('hex') + u32(3) + u64(2) + u64(6),
    key('a') + u32(4) + u32(7),
    key('b') + u32(8) + u64(2) + 'c3a9',
    key('c') + u32(7) + '01',
    key('d') + u32(9) + u32(5) + u64(1) + 'ffffffff',
    key('e') + u32(9) + u32(8) + u64(1) + key('x'),
    key('f') + u32(6) + '0000003f',
    key('t') + u32(2) + u64(2) + u64(1) + u32(0) + u64(0),
    key('u') + u32(1) + u64(1) + u32(0) + u64(GGUF_ALIGNMENT_BYTES),
  ].join('')
  t.equal(file.subarray(0, head.length / 2).toString('hex'), head)
  const dataStart = Math.ceil(head.length / 2 / GGUF_ALIGNMENT_BYTES) * GGUF_ALIGNMENT_BYTES
  t.equal(file.length, dataStart + 2 * GGUF_ALIGNMENT_BYTES, 'head and tensors are padded')
  t.equal(file.readFloatLE(dataStart), 1)
  t.equal(file.readFloatLE(dataStart + 4), -2)
  t.equal(file.readFloatLE(dataStart + GGUF_ALIGNMENT_BYTES), 3)
})

t.test('writeGguf() refuses a tensor whose shape does not fit its data', async (t) => {
  const tensors = [{ name: 't', shape: [2], data: new Float32Array(3) }]
  t.throws(() => writeGguf({ metadata: [], tensors }), RangeError)
})
