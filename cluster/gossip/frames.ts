// Length-prefixed messages on a byte stream: four bytes of length (big endian), then the payload. A length beyond the limit is
// an error at once, before any payload is buffered. Pure.

export interface FrameReader {
  /** The frames completed by this chunk. @throws Error when a length is beyond the limit */
  push(chunk: Uint8Array): readonly Uint8Array[]
}

export function frame(payload: Uint8Array): Uint8Array {
  const framed = new Uint8Array(4 + payload.length)
  new DataView(framed.buffer).setUint32(0, payload.length)
  framed.set(payload, 4)
  return framed
}

/** @param maxBytes bytes of one frame's payload */
export function frameReader(maxBytes: number): FrameReader {
  let rest: Uint8Array = new Uint8Array(0)
  return {
    push(chunk) {
      const bytes = rest.length === 0 ? chunk : concat(rest, chunk)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const frames: Uint8Array[] = []
      let at = 0
      while (bytes.length - at >= 4) {
        const length = view.getUint32(at)
        if (length > maxBytes) throw new Error(`a message of ${length} bytes; at most ${maxBytes} are allowed`)
        if (bytes.length - at - 4 < length) break
        frames.push(new Uint8Array(bytes.subarray(at + 4, at + 4 + length)))
        at += 4 + length
      }
      // Copied, because the slice of a Buffer shares memory that the stream reuses.
      rest = new Uint8Array(bytes.subarray(at))
      return frames
    },
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}
