/**
 * A writer of GGUF version 3, the file format of llama.cpp (ggml-org/ggml, docs/gguf.md): magic,
 * version, counts, metadata pairs, tensor descriptions, padding, tensor data. Little-endian. Only
 * what a tiny model needs: F32 tensors and the value types below. No dependency, no I/O.
 */

/** Type numbers of GGUF metadata values. */
const VALUE_TYPE = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const

/** Tensor type F32 in ggml's numbering. */
const TENSOR_F32 = 0

/** Tensor data begins at, and every tensor is padded to, a multiple of this many bytes. */
export const GGUF_ALIGNMENT_BYTES = 32

/** One metadata value with its type on disk. */
export type GgufValue =
  | { readonly type: 'u32' | 'i32' | 'f32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'f32s' | 'i32s'; readonly value: readonly number[] }

/** One F32 tensor. `shape` is in ggml's order: the fastest-running dimension first. */
export interface GgufTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly data: Float32Array
}

/** What goes into the file, in this order. */
export interface GgufModel {
  readonly metadata: readonly (readonly [key: string, value: GgufValue])[]
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
  for (const [key, value] of model.metadata) head.push(text(key), ...valueBytes(value))
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

function valueBytes(value: GgufValue): Uint8Array[] {
  switch (value.type) {
    case 'u32':
      return [u32(VALUE_TYPE.u32), u32(value.value)]
    case 'i32':
      return [u32(VALUE_TYPE.i32), i32(value.value)]
    case 'f32':
      return [u32(VALUE_TYPE.f32), f32(value.value)]
    case 'bool':
      return [u32(VALUE_TYPE.bool), Uint8Array.of(value.value ? 1 : 0)]
    case 'string':
      return [u32(VALUE_TYPE.string), text(value.value)]
    case 'strings':
      return [...arrayHead(VALUE_TYPE.string, value.value.length), ...value.value.map(text)]
    case 'f32s':
      return [...arrayHead(VALUE_TYPE.f32, value.value.length), ...value.value.map(f32)]
    case 'i32s':
      return [...arrayHead(VALUE_TYPE.i32, value.value.length), ...value.value.map(i32)]
  }
}

function arrayHead(itemType: number, length: number): Uint8Array[] {
  return [u32(VALUE_TYPE.array), u32(itemType), u64(length)]
}

/** A string on disk: its length in bytes as u64, then UTF-8 without a terminator. */
function text(value: string): Uint8Array {
  const bytes = Buffer.from(value)
  return Buffer.concat([u64(bytes.length), bytes])
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function i32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return bytes
}

function f32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}

function u64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / GGUF_ALIGNMENT_BYTES) * GGUF_ALIGNMENT_BYTES
}
