// A bare TCP connect, to learn whether a server is there. Nothing is sent.

import { connect } from 'node:net'

/** Calls `done` once: true if the connection stood within `timeoutMs`. */
export function probeConnect(host: string, port: number, timeoutMs: number, done: (ok: boolean) => void): void {
  const socket = connect({ host, port })
  let open = true
  const finish = (ok: boolean) => {
    if (!open) return
    open = false
    clearTimeout(timer)
    socket.destroy()
    done(ok)
  }
  const timer = setTimeout(finish, timeoutMs, false)
  socket.on('connect', () => finish(true))
  socket.on('error', () => finish(false))
}
