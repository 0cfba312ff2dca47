/**
 * A writer of GGUF version 3, the file format of llama.cpp (ggml-org/ggml, docs/gguf.md): magic,
 * version, counts, metadata pairs, tensor descriptions, padding, tensor data. Little-endian. Only
 * what a tiny model needs: F32 tensors and the value types below. No dependency, no I/O.
 */

/** Tensor type F32 in ggml's numbering. */
const TENSOR_F32 = 0

/** Tensor data begins at, and every tensor is padded to, a multiple of this many bytes. */
export const GGUF_ALIGNMENT_BYTES = 32

/** One metadata value as it stands on disk: its type number, then itself. */
export const ggufValue = {
  u32: (value: number) => Buffer.concat([u32(4), u32(value)]),
  f32: (value: number) => Buffer.concat([u32(6), f32(value)]),
  bool: (value: boolean) => Buffer.concat([u32(7), Uint8Array.of(value ? 1 : 0)]),
  string: (value: string) => Buffer.concat([u32(8), text(value)]),
  i32s: (values: readonly number[]) => list(5, values.map(i32)),
  f32s: (values: readonly number[]) => list(6, values.map(f32)),
  strings: (values: readonly string[]) => list(8, values.map(text)),
} satisfies Record<string, (value: never) => Uint8Array>

/** An array of items of one type, whose type number is 9. */
function list(itemType: number, items: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([u32(9), u32(itemType), u64(items.length), ...items])
}

/** One F32 tensor. `shape` is in ggml's order: the fastest-running dimension first. */
export interface GgufTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly data: Float32Array
}

/** What goes into the file, in this order. */
export interface GgufModel {
  readonly metadata: readonly (readonly [key: string, value: Uint8Array])[]
  readonly tensors: readonly GgufTensor[]
}

/**
 * The bytes of a GGUF file. Pure: the same model gives the same bytes. Throws a `RangeError` if the
 * data of a tensor does not have the size that its shape says, which is a bug of the caller.
 */
export function writeGguf(model: GgufModel): Uint8Array {
  const head: Uint8Array[] = [
    Buffer.from('GGUF'),
    u32(3),
    u64(model.tensors.length),
    u64(model.metadata.length),
  ]
  for (const [key, value] of model.metadata) head.push(text(key), value)
  let offset = 0
  for (const tensor of model.tensors) {
    head.push(text(tensor.name), u32(tensor.shape.length), ...tensor.shape.map(u64))
    head.push(u32(TENSOR_F32), u64(offset))
    offset += aligned(tensor.data.byteLength)
  }
  const headBytes = Buffer.concat(head)
  const dataStart = aligned(headBytes.length)
  const file = Buffer.alloc(dataStart + offset)
  headBytes.copy(file)
  let at = dataStart
  for (const tensor of model.tensors) {
    copyTensor(tensor, file, at)
    at += aligned(tensor.data.byteLength)
  }
  return file
}

function copyTensor({ name, shape, data }: GgufTensor, file: Buffer, at: number): void {
  const size = shape.reduce((product, n) => product * n, 1)
  if (size !== data.length)
    throw new RangeError(`tensor ${name}: ${data.length} values, not ${size}`)
  // Written value by value, so the file is little-endian on every machine.
  for (const [i, value] of data.entries()) if (value !== 0) file.writeFloatLE(value, at + i * 4)
}

/** A string on disk: its length in bytes as u64, then UTF-8 without a terminator. */
function text(value: string): Uint8Array {
  const bytes = Buffer.from(value)
  return Buffer.concat([u64(bytes.length), bytes])
}

function written(size: number, write: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(size)
  write(bytes)
  return bytes
}

const u32 = (value: number): Buffer => written(4, (bytes) => bytes.writeUInt32LE(value))
const i32 = (value: number): Buffer => written(4, (bytes) => bytes.writeInt32LE(value))
const f32 = (value: number): Buffer => written(4, (bytes) => bytes.writeFloatLE(value))
const u64 = (value: number): Buffer => written(8, (bytes) => bytes.writeBigUInt64LE(BigInt(value)))

function aligned(bytes: number): number {
  return Math.ceil(bytes / GGUF_ALIGNMENT_BYTES) * GGUF_ALIGNMENT_BYTES
}
