// Ports for what a test or a bench starts. Not those that the kernel chooses by itself: it gives them to outgoing connections too,
// and one of these may have taken the port by the time that somebody listens there.

import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below what Linux gives to outgoing connections (32768 and up). */
const FIRST = 12_000
const PORTS = 20_000

let next = Math.floor(Math.random() * PORTS)

/** A port on 127.0.0.1 where nobody listens, another one each time. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + (next++ % PORTS)
    const server = createServer()
    try {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    } catch {
      continue
    }
    server.close()
    await once(server, 'close')
    return port
  }
}
