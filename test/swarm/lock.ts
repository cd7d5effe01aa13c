// The lock of the lab, which one command at a time can hold. It is a listening socket in the kernel's abstract namespace, which ends
// with its process, so an aborted run leaves no lock behind.

import { createServer } from 'node:net'

const NAME = '\0skein-lab'

/** Locks the lab until the returned function is called or this process ends. @throws if another process holds the lock */
export async function takeLock(): Promise<() => void> {
  const server = createServer(socket => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', () => reject(new Error('another command uses the lab (up, deploy, down, chaos or npm test)')))
    server.listen(NAME, resolve)
  })
  server.unref()
  return () => server.close()
}

/** Runs `work` while holding the lock. @throws if another process holds it */
export async function withLock<T>(work: () => Promise<T>): Promise<T> {
  const release = await takeLock()
  try {
    return await work()
  } finally {
    release()
  }
}
