// Reads the body of a client's request by its framing (RFC 9112, 6 and 7) and returns its content. Never exceeds the size limit and
// never consumes bytes after the body. Results are plain fields. No socket, no clock.

import type { Exchange } from '../forward/exchange.ts'
import { BY_CHUNKS } from '../message/framing.ts'
import { BAD, ChunkedReader, DATA, END } from './chunked.ts'
import { parseTrailers } from './trailers.ts'

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
    if (x.req.framing === BY_CHUNKS) {
      this.chunks ??= new ChunkedReader()
      this.chunks.reset()
    } else this.left = x.req.contentLength
  }

  /** @returns content; null if there is none yet or the body is refused (`status` is not 0). The end sets `x.body.trailers` */
  read(x: Exchange, buffer: Buffer): Buffer | null {
    if (x.req.framing === BY_CHUNKS) return this.readChunks(x, this.chunks!, buffer)
    const to = Math.min(buffer.length, this.left)
    this.left -= to
    this.position = to
    this.complete = this.left === 0
    x.bytesIn += to
    return to === buffer.length ? buffer : buffer.subarray(0, to)
  }

  /** Returns the content of all chunks of a buffer as one piece. */
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
    if (event === END) x.body.trailers = parseTrailers(chunks.trailers)
    this.position = chunks.position
    this.complete = event === END
    if (pieces.length < 2) return pieces[0] ?? null
    return Buffer.concat(pieces, size)
  }

  private refuse(status: number, problem: string): null {
    this.status = status
    this.problem = problem
    return null
  }
}
