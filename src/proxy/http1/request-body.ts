// The body of a client's request, read by its framing (RFC 9112, 6 and 7) and made ready for a server: never longer than is
// allowed, never a byte of what comes behind it. Outcomes are plain fields. No socket, no clock.

import type { Exchange } from '../forward/exchange.ts'
import { BY_CHUNKS } from '../message/framing.ts'
import { BAD, ChunkedReader, DATA, END } from './chunked.ts'

const CRLF = Buffer.from('\r\n')

export class RequestBody {
  /** All of it has been read. */
  complete = false
  /** Where it stopped in the buffer read last: what is behind is not of this body. */
  position = 0
  /** The status to refuse it with, else 0. */
  status = 0
  /** Why, for the log. */
  problem = ''
  private readonly maxBytes: number
  /** Bytes to come of a body with a length. */
  private left = 0
  private chunks: ChunkedReader | null = null

  /** `maxBytes` is the most a body may have, 0 for no limit; an announced length is checked before, by admission. */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** The body of a request whose head has been read and announces one. */
  begin(x: Exchange): void {
    this.complete = false
    this.status = 0
    if (x.bodyFraming === BY_CHUNKS) {
      this.chunks ??= new ChunkedReader()
      this.chunks.reset()
    } else this.left = x.req.contentLength
  }

  /** @returns what goes to the server, as it goes on the wire; null for nothing yet, and when `status` is not 0 */
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
   * Chunks are written anew, as one for all that came together: no extension and no odd spelling of a size reaches a server, and
   * a body of single bytes costs no more than another.
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
