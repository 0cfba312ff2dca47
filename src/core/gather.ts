/** The object of a piece, bytes: measured at three hundred to four hundred in Node 26. */
const PIECE_COST = 350
/** A piece of this size or more may be kept as it is: its object costs a tenth of it at most. */
const PIECE_MIN = 4 * 1024
/** The memory that small pieces are copied into grows up to this. */
const SLAB_MAX = 64 * 1024
const SLAB_MIN = 512
const NOTHING = Buffer.alloc(0)

/**
 * Bytes that arrive in pieces and are wanted whole. Each piece is an object of some hundred bytes,
 * and may be a window on a larger memory that lives as long as it does: a body in pieces of one byte
 * would take four hundred times its size. So small ones are copied together; what is kept is at most
 * twice the bytes, and one slab. Linear time.
 */
export class Gather {
  #parts: Buffer[] = []
  /** Where small pieces go; of it, `#from` to `#to` is not among the parts yet. */
  #slab = NOTHING
  #from = 0
  #to = 0
  #length = 0
  #memory = 0

  /** Bytes gathered. */
  get length(): number {
    return this.#length
  }

  /** Bytes of memory that are kept for them, with the objects. */
  get kept(): number {
    return this.#memory + this.#parts.length * PIECE_COST
  }

  push(piece: Buffer): void {
    if (piece.length === 0) return
    const only = this.#length === 0
    this.#length += piece.length
    const memory = piece.buffer.byteLength
    if (only || (piece.length >= PIECE_MIN && memory <= 2 * piece.length)) {
      this.#closePart()
      this.#parts.push(piece)
      this.#memory += memory
    } else {
      // The only one may be a small window on a large memory: fine for one, not for the first of many.
      if (this.#parts.length === 1 && this.#slab === NOTHING) this.#copyFirst(piece.length)
      this.#copy(piece)
    }
  }

  /** All of it in one piece, copied only where it came in several. It stays. */
  whole(): Buffer {
    this.#closePart()
    if (this.#parts.length > 1) {
      this.#parts = [Buffer.concat(this.#parts, this.#length)]
      this.#slab = NOTHING
      this.#from = this.#to = 0
      this.#memory = this.#length
    }
    return this.#parts[0] ?? NOTHING
  }

  /** The same, and begins anew. */
  take(): Buffer {
    const all = this.whole()
    this.clear()
    return all
  }

  clear(): void {
    this.#parts = []
    this.#slab = NOTHING
    this.#from = this.#to = this.#length = this.#memory = 0
  }

  #copyFirst(more: number): void {
    const [first] = this.#parts
    if (first === undefined) return
    if (first.length >= PIECE_MIN && first.buffer.byteLength <= 2 * first.length) return
    this.#parts = []
    this.#memory = 0
    this.#newSlab(first.length + more)
    this.#copy(first)
  }

  #copy(piece: Buffer): void {
    let at = 0
    while (at < piece.length) {
      if (this.#to === this.#slab.length) this.#newSlab(piece.length - at)
      const copied = piece.copy(this.#slab, this.#to, at)
      this.#to += copied
      at += copied
    }
  }

  #newSlab(wanted: number): void {
    this.#closePart()
    const size = Math.min(SLAB_MAX, Math.max(SLAB_MIN, wanted, 2 * this.#slab.length))
    this.#slab = Buffer.allocUnsafeSlow(size)
    this.#from = this.#to = 0
    this.#memory += size
  }

  #closePart(): void {
    if (this.#to > this.#from) this.#parts.push(this.#slab.subarray(this.#from, this.#to))
    this.#from = this.#to
  }
}
