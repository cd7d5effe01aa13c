// Joins two raw byte streams after a protocol switch (RFC 9110, 7.8): copies both directions with backpressure, forwards half-close,
// and resets both sides after an idle time. Uses closures: a tunnel is long-lived.

import { type ByteStream, resetStream } from '../byte-stream.ts'
import type { Sweep, Timed } from './deadlines.ts'

export interface Tunnel {
  /** Resets both sides. */
  destroy(): void
}

/**
 * Joins two streams without listeners. `onIdle` is called before both are reset because no byte arrived for `idleMs` (Infinity:
 * never). `done` is called once, when both are closed, with the bytes from client and server.
 */
export function openTunnel(
  client: ByteStream,
  server: ByteStream,
  sweep: Sweep,
  idleMs: number,
  onIdle: () => void,
  done: (bytesIn: number, bytesOut: number) => void,
): Tunnel {
  let open = 2
  let bytesIn = 0
  let bytesOut = 0
  const timed: Timed = {
    deadline: sweep.now + idleMs,
    sweepIndex: -1,
    onDeadline: () => {
      onIdle()
      destroy()
    },
  }
  const destroy = () => {
    resetStream(client)
    resetStream(server)
  }
  const closed = () => {
    if (--open > 0) return
    sweep.remove(timed)
    done(bytesIn, bytesOut)
  }
  const join = (from: ByteStream, to: ByteStream, count: (n: number) => void) => {
    from.on('data', (chunk: Buffer) => {
      timed.deadline = sweep.now + idleMs
      count(chunk.length)
      if (to.writable && !to.write(chunk)) from.pause()
    })
    from.on('drain', () => to.resume())
    from.on('end', () => {
      if (to.writable) to.end()
    })
    from.on('error', destroy)
    from.on('close', () => {
      // A side that closes without FIN resets the other one. After a FIN the other direction may still finish.
      if (!from.readableEnded) resetStream(to)
      closed()
    })
    from.resume()
  }
  join(client, server, n => {
    bytesIn += n
  })
  join(server, client, n => {
    bytesOut += n
  })
  sweep.add(timed)
  return { destroy }
}
