// Finds out, before anything is started, whether all addresses that the demo needs can be had, and says which cannot.

import { createServer } from 'node:net'

/** A message for the user about the first address that cannot be listened on; null when all can. */
export async function findTrouble(addresses: readonly { readonly host: string; readonly port: number; readonly what: string }[]) {
  for (const { host, port, what } of addresses) {
    const code = await tryListen(host, port)
    if (code === null) continue
    if (code === 'EADDRINUSE') return `port ${port} on ${host} is taken (needed for ${what})`
    if (code === 'EADDRNOTAVAIL')
      return `this machine has no address ${host} (needed for ${what}): the demo uses 127.0.0.0/8 as Linux has it`
    return `cannot listen on ${host}:${port} (needed for ${what}): ${code}`
  }
  return null
}

function tryListen(host: string, port: number): Promise<string | null> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen(port, host, () => server.close(() => resolve(null)))
  })
}
