// After 101 both sides are raw (RFC 9110, 7.8): bytes go both ways with backpressure, half-close is passed on, and an idle time
// ends it. Closures are fine here: one tunnel lives long.

import { type ByteStream, breakOff } from '../byte-stream.ts'
import type { Sweep, Timed } from './deadlines.ts'

export interface Tunnel {
  /** Ends both sides at once. */
  destroy(): void
}

/**
 * Joins two sockets whose listeners have been removed. `onIdle` is called when no byte has come for `idleMs` (Infinity: never),
 * before both are reset; `done` once, when both sides are closed, with the bytes in and out.
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
    breakOff(client)
    breakOff(server)
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
      // A side that is gone without its FIN takes the other with it; after a FIN the other may still finish.
      if (!from.readableEnded) breakOff(to)
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
