// Checks before the start whether all addresses that the demo needs are free, and names the first one that is not.

import { createServer } from 'node:net'

/** A message about the first address that cannot be listened on; null if all are free. */
export async function findUnavailableAddress(
  addresses: readonly { readonly host: string; readonly port: number; readonly what: string }[],
) {
  for (const { host, port, what } of addresses) {
    const code = await tryListen(host, port)
    if (code === null) continue
    if (code === 'EADDRINUSE') return `port ${port} on ${host} is taken (needed for ${what})`
    if (code === 'EADDRNOTAVAIL')
      return `this machine has no address ${host} (needed for ${what}): the demo needs the loopback network 127.0.0.0/8, as on Linux`
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
