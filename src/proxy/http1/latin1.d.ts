// Buffer.latin1Slice: Node's fast path from bytes to a one-byte string. A public method that @types/node lacks.

declare global {
  interface Buffer {
    latin1Slice(start?: number, end?: number): string
  }
}

export {}
