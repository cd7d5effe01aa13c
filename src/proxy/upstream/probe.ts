// A TCP connect that finds out whether a server accepts connections. Nothing is sent.

import { connect } from 'node:net'

/** Calls `done` once: with '' if the connection was established within `timeoutMs`, else with the error code or 'timeout'. */
export function probeConnect(host: string, port: number, timeoutMs: number, done: (code: string) => void): void {
  const socket = connect({ host, port })
  let pending = true
  const end = (code: string) => {
    if (!pending) return
    pending = false
    clearTimeout(timer)
    socket.destroy()
    done(code)
  }
  // If the thread was blocked, a pending connect event is handled before the timeout.
  const timer = setTimeout(() => setImmediate(end, 'timeout'), timeoutMs)
  socket.on('connect', () => end(''))
  socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
}
