// Reads the body of a client's request by its framing (RFC 9112, 6 and 7) and encodes it for a server. Never exceeds the size limit
// and never consumes bytes after the body. Results are plain fields. No socket, no clock.

import type { Exchange } from '../forward/exchange.ts'
import { BY_CHUNKS } from '../message/framing.ts'
import { BAD, ChunkedReader, DATA, END } from './chunked.ts'

const CRLF = Buffer.from('\r\n')

export class RequestBody {
  /** The whole body has been read. */
  complete = false
  /** Where the body stopped in the last buffer: later bytes belong to the next request. */
  position = 0
  /** The status to refuse the body with; 0 otherwise. */
  status = 0
  /** Why it was refused, for the log. */
  problem = ''
  private readonly maxBytes: number
  /** Remaining bytes of a body with a length. */
  private left = 0
  private chunks: ChunkedReader | null = null

  /** `maxBytes` limits the size, 0 means no limit. A Content-Length above it is refused before, by routing/admission.ts. */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** Starts the body of a request whose head announces one. */
  begin(x: Exchange): void {
    this.complete = false
    this.status = 0
    if (x.bodyFraming === BY_CHUNKS) {
      this.chunks ??= new ChunkedReader()
      this.chunks.reset()
    } else this.left = x.req.contentLength
  }

  /** @returns the bytes for the server, in its framing; null if there are none yet or the body is refused (`status` is not 0) */
  read(x: Exchange, buffer: Buffer): Buffer | null {
    if (x.bodyFraming === BY_CHUNKS) return this.readChunks(x, this.chunks!, buffer)
    const to = Math.min(buffer.length, this.left)
    this.left -= to
    this.position = to
    this.complete = this.left === 0
    x.bytesIn += to
    return to === buffer.length ? buffer : buffer.subarray(0, to)
  }

  /**
   * Encodes all chunks of a buffer as one: no extension and no unusual size reaches a server, and a body that arrives in single
   * bytes costs no more than any other.
   */
  private readChunks(x: Exchange, chunks: ChunkedReader, buffer: Buffer): Buffer | null {
    const pieces: Buffer[] = []
    let size = 0
    let event: number
    chunks.position = 0
    while ((event = chunks.next(buffer, buffer.length)) === DATA) {
      pieces.push(buffer.subarray(chunks.from, chunks.to))
      size += chunks.to - chunks.from
    }
    if (event === BAD) return this.refuse(400, chunks.problem)
    x.bytesIn += size
    if (this.maxBytes > 0 && x.bytesIn > this.maxBytes) {
      return this.refuse(413, `the body is larger than ${this.maxBytes} bytes`)
    }
    if (size > 0) {
      pieces.unshift(Buffer.from(`${size.toString(16)}\r\n`, 'latin1'))
      pieces.push(CRLF)
    }
    if (event === END) pieces.push(Buffer.from(`0\r\n${chunks.trailers}\r\n`, 'latin1'))
    this.position = chunks.position
    this.complete = event === END
    return pieces.length > 0 ? Buffer.concat(pieces) : null
  }

  private refuse(status: number, problem: string): null {
    this.status = status
    this.problem = problem
    return null
  }
}
