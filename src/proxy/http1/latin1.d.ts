// Node's own fast path from bytes to a one-byte string; public on Buffer since always, absent from its types.

declare global {
  interface Buffer {
    latin1Slice(start?: number, end?: number): string
  }
}

export {}
