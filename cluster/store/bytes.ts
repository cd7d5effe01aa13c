// Bytes written and read one after the other: whole numbers as varints (seven bits a byte, lowest first; signed ones zigzag),
// texts as UTF-8 with their length before. A reader throws Malformed at whatever it cannot be; it never reads beyond its end.

export class Malformed extends Error {}

const MOST = Number.MAX_SAFE_INTEGER

export class Writer {
  #bytes: Buffer
  #at = 0

  constructor(size = 1024) {
    this.#bytes = Buffer.allocUnsafe(size)
  }

  get length(): number {
    return this.#at
  }

  byte(value: number): void {
    this.#room(1)
    this.#bytes[this.#at++] = value
  }

  /** From 0 to 2^53 - 1. */
  varint(value: number): void {
    this.#room(8)
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[this.#at++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#at++] = rest
  }

  signed(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value)
  }

  uint32(value: number): void {
    this.#room(4)
    this.#at = this.#bytes.writeUInt32LE(value >>> 0, this.#at)
  }

  text(value: string): void {
    const bytes = Buffer.byteLength(value, 'utf8')
    this.varint(bytes)
    this.#room(bytes)
    this.#at += this.#bytes.write(value, this.#at, bytes, 'utf8')
  }

  bytes(value: Uint8Array): void {
    this.#room(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  /** All that was written; of memory of its own. */
  done(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#at))
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#at + bytes))
    this.#bytes.copy(grown, 0, 0, this.#at)
    this.#bytes = grown
  }
}

export class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  byte(): number {
    const value = this.#bytes[this.#at]
    if (value === undefined) throw new Malformed('it ends too early')
    this.#at++
    return value
  }

  /** @param most the highest that is allowed */
  varint(most: number = MOST): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i++) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (value > most) throw new Malformed(`a number of at most ${most} was expected`)
        return value
      }
      scale *= 0x80
    }
    throw new Malformed('a number is too long')
  }

  signed(): number {
    const value = this.varint()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  uint32(): number {
    if (this.left < 4) throw new Malformed('it ends too early')
    const value = this.#bytes.readUInt32LE(this.#at)
    this.#at += 4
    return value
  }

  /** From `least` to `most` characters; the memory of what is read is its own. */
  text(least: number, most: number): string {
    const bytes = this.varint(4 * most)
    if (bytes > this.left) throw new Malformed('it ends too early')
    const value = this.#bytes.toString('utf8', this.#at, this.#at + bytes)
    this.#at += bytes
    if (value.length < least || value.length > most) throw new Malformed(`a text of ${least} to ${most} characters was expected`)
    return value
  }

  bytes(count: number): Buffer {
    if (count > this.left) throw new Malformed('it ends too early')
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }

  end(): void {
    if (this.left > 0) throw new Malformed(`${this.left} bytes more than it should have`)
  }
}
