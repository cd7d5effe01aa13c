// Bytes from a client that have not been processed: part of a head, or pipelined requests. Finds the end of a head without
// searching a byte twice, and refuses early what cannot become a head (RFC 9112, 2.2 and 3). No socket, no clock.

import { TOKEN } from '../message/chars.ts'
import type { HeadLimits } from '../message/head.ts'
import { MAX_METHOD_BYTES } from '../message/methods.ts'

const HEAD_END = Buffer.from('\r\n\r\n')

export class ReceiveBuffer {
  bytes: Buffer | null = null
  /** A part of a head has been received. */
  headStarted = false
  /** The status to refuse the head with; 0 otherwise. */
  status = 0
  /** Why it was refused, for the log. */
  problem = ''
  private readonly limits: HeadLimits
  /** The number of bytes that were searched for the end of a head. */
  private searched = 0

  constructor(limits: HeadLimits) {
    this.limits = limits
  }

  get size(): number {
    return this.bytes === null ? 0 : this.bytes.length
  }

  add(chunk: Buffer): void {
    this.bytes = this.bytes === null ? chunk : Buffer.concat([this.bytes, chunk])
  }

  /** Takes all bytes. */
  take(): Buffer | null {
    const all = this.bytes
    this.bytes = null
    return all
  }

  /** The method of an incomplete head; '' if it is not complete itself. */
  get method(): string {
    const { bytes } = this
    if (bytes === null) return ''
    const from = bytes[0] === 13 && bytes[1] === 10 ? 2 : 0
    let end = from
    while (end - from < MAX_METHOD_BYTES && TOKEN[bytes[end]!] === 1) end++
    return bytes[end] === 32 ? bytes.latin1Slice(from, end) : ''
  }

  /** @returns a head with its empty line; '' if more bytes are needed, or if the head is refused (`status` is not 0) */
  takeHead(): string {
    const buffer = this.bytes
    if (buffer === null) return ''
    const { headerBytes, uriBytes } = this.limits
    let from = 0
    // One empty line before a request is tolerated (RFC 9112, 2.2).
    if (buffer[0] === 13 && buffer.length > 1 && buffer[1] === 10) from = 2
    if (from > 0 && this.searched < from) this.searched = from
    const end = buffer.indexOf(HEAD_END, Math.max(from, this.searched - 3))
    const length = (end < 0 ? buffer.length : end) - from
    if (length > headerBytes) {
      const line = buffer.indexOf(10, from)
      return this.refuse(line < 0 || line - from > uriBytes ? 414 : 431, `the head is larger than ${headerBytes} bytes`)
    }
    if (end < 0) {
      if (length > 0) this.headStarted = true
      const problem = whyInvalid(buffer, from, this.searched)
      this.searched = buffer.length
      return problem === '' ? '' : this.refuse(400, problem)
    }
    const text = buffer.latin1Slice(from, end + 4)
    this.bytes = buffer.length > end + 4 ? buffer.subarray(end + 4) : null
    this.searched = 0
    this.headStarted = false
    return text
  }

  private refuse(status: number, problem: string): '' {
    this.status = status
    this.problem = problem
    return ''
  }
}

/** Why an incomplete head can never become valid (a wrong first byte, a bare LF); '' if it can. */
function whyInvalid(buffer: Buffer, from: number, searched: number): string {
  const first = buffer[from]
  if (first !== undefined && TOKEN[first] === 0 && !(first === 13 && buffer.length === from + 1)) {
    return 'the request does not begin with a method'
  }
  for (let i = buffer.indexOf(10, Math.max(from, searched)); i >= 0; i = buffer.indexOf(10, i + 1)) {
    if (i === from || buffer[i - 1] !== 13) return 'a line ends with a bare LF'
  }
  return ''
}
