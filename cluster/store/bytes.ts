// Sequential binary writer and reader: integers as varints (seven bits a byte, lowest first; signed ones zigzag), texts as
// UTF-8 with their length first. The reader throws Malformed for invalid input and never reads beyond its end.

export class Malformed extends Error {}

const MAX_VARINT = Number.MAX_SAFE_INTEGER

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
    this.#reserve(1)
    this.#bytes[this.#at++] = value
  }

  /** @param value from 0 to 2^53 - 1 */
  varint(value: number): void {
    this.#reserve(8)
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
    this.#reserve(4)
    this.#at = this.#bytes.writeUInt32LE(value >>> 0, this.#at)
  }

  text(value: string): void {
    const bytes = Buffer.byteLength(value, 'utf8')
    this.varint(bytes)
    this.#reserve(bytes)
    this.#at += this.#bytes.write(value, this.#at, bytes, 'utf8')
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  /** The written bytes, as a copy. */
  done(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#at))
  }

  #reserve(bytes: number): void {
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
    if (value === undefined) throw new Malformed('it is truncated')
    this.#at++
    return value
  }

  /** @param max the highest allowed value */
  varint(max: number = MAX_VARINT): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i++) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (value > max) throw new Malformed(`expected a number of at most ${max}`)
        return value
      }
      scale *= 0x80
    }
    throw new Malformed('a varint is too long')
  }

  signed(): number {
    const value = this.varint()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  uint32(): number {
    if (this.left < 4) throw new Malformed('it is truncated')
    const value = this.#bytes.readUInt32LE(this.#at)
    this.#at += 4
    return value
  }

  /** Reads a text of `min` to `max` characters; the result is a copy. */
  text(min: number, max: number): string {
    const bytes = this.varint(4 * max)
    if (bytes > this.left) throw new Malformed('it is truncated')
    const value = this.#bytes.toString('utf8', this.#at, this.#at + bytes)
    this.#at += bytes
    if (value.length < min || value.length > max) throw new Malformed(`expected a text of ${min} to ${max} characters`)
    return value
  }

  bytes(count: number): Buffer {
    if (count > this.left) throw new Malformed('it is truncated')
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }

  end(): void {
    if (this.left > 0) throw new Malformed(`${this.left} bytes of trailing data`)
  }
}
