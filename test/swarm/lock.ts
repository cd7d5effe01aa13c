// One command at a time has the lab. The lock is a listening socket in the kernel's abstract name space: it cannot outlive its
// process, so a run that was cut off leaves no lock behind.

import { createServer } from 'node:net'

const NAME = '\0skein-lab'

/** Takes the lab until the function it resolves with is called, or this process ends. @throws when another process has it */
export async function takeLock(): Promise<() => void> {
  const server = createServer(socket => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', () => reject(new Error('another command has the lab (up, deploy, down, chaos or npm test)')))
    server.listen(NAME, resolve)
  })
  server.unref()
  return () => server.close()
}

/** Does the work while no other process may. @throws when another has the lab */
export async function withLock<T>(work: () => Promise<T>): Promise<T> {
  const release = await takeLock()
  try {
    return await work()
  } finally {
    release()
  }
}
