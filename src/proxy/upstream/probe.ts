// A bare TCP connect, to learn whether a server is there. Nothing is sent.

import { connect } from 'node:net'

/** Calls `done` once: with '' if the connection stood within `timeoutMs`, else with the code of its error, or 'timeout'. */
export function probeConnect(host: string, port: number, timeoutMs: number, done: (code: string) => void): void {
  const socket = connect({ host, port })
  let open = true
  const finish = (code: string) => {
    if (!open) return
    open = false
    clearTimeout(timer)
    socket.destroy()
    done(code)
  }
  // A connection that stands since this thread was busy elsewhere must be seen first.
  const timer = setTimeout(() => setImmediate(finish, 'timeout'), timeoutMs)
  socket.on('connect', () => finish(''))
  socket.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message))
}
