// A backend in its own process that can be frozen (SIGSTOP): once its accept queue is full, connects time out and nothing answers,
// as with a machine that has disappeared. Needs no privileges and no firewall.

import { spawn } from 'node:child_process'
import { connect, type Socket } from 'node:net'

const SCRIPT = `
const { connect, createServer } = require('node:net')
const to = Number(process.argv[2])
const server = createServer(socket => {
  if (to > 0) {
    const onward = connect(to, '127.0.0.1').on('error', () => {}).on('close', () => socket.destroy())
    socket.on('error', () => {}).on('close', () => onward.destroy()).pipe(onward).pipe(socket)
    return
  }
  socket.on('data', () => socket.write('HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nchild'))
  socket.on('error', () => {})
})
const at = { port: Number(process.argv[1]), host: '127.0.0.1', backlog: to > 0 ? 40 : 1 }
server.listen(at, () => console.log(server.address().port))
`

export interface Stoppable {
  readonly port: number
  freeze(): void
  /** Continues the process; queued connections are served. */
  thaw(): void
  /** Fills the accept queue; resolves when a connect no longer succeeds. */
  fill(): Promise<void>
  stop(): void
}

/** `at`: the port to listen on, 0 for any. `to`: a port to forward connections to, so that the backend is one of several paths. */
export async function startStoppable(at = 0, to = 0): Promise<Stoppable> {
  const child = spawn(process.execPath, ['-e', SCRIPT, String(at), String(to)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const port = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.stdout.once('data', (chunk: Buffer) => resolve(Number(chunk.toString())))
  })
  const fillers: Socket[] = []
  const connects = () =>
    new Promise<boolean>(resolve => {
      const socket = connect(port, '127.0.0.1')
      fillers.push(socket)
      const timer = setTimeout(resolve, 150, false)
      socket.on('error', () => resolve(false))
      socket.on('connect', () => {
        clearTimeout(timer)
        resolve(true)
      })
    })
  return {
    port,
    freeze: () => void child.kill('SIGSTOP'),
    thaw() {
      for (const socket of fillers.splice(0)) socket.destroy()
      child.kill('SIGCONT')
    },
    async fill() {
      for (let i = 0; i < 64 && (await connects()); i++) {}
    },
    stop() {
      for (const socket of fillers) socket.destroy()
      child.kill('SIGKILL')
    },
  }
}
