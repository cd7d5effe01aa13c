// The tasks of a backend service one by one, from inside their containers' networks: made to fail, and asked what arrived.

import type { Arrival } from './backend/app.ts'
import { run } from './command.ts'
import { containersOf } from './stack.ts'
import { NODES } from './topology.ts'

const CONTROL = 'http://127.0.0.1:9100'

/** Asks every task of a service (by its id: one of the same name may be being removed), all at once. */
async function askTasks<T>(service: string, path: string): Promise<T[]> {
  const found = await Promise.all(NODES.map(node => containersOf(node, service)))
  return Promise.all(
    found.flat().map(async ({ pid }) => {
      const script = `console.log(await (await fetch('${CONTROL}${path}', { signal: AbortSignal.timeout(4000) })).text())`
      const args = [`--net=/proc/${pid}/ns/net`, process.execPath, '--input-type=module', '-e', script]
      return JSON.parse(await run('nsenter', args, { timeoutMs: 6000 })) as T
    }),
  )
}

/**
 * Requests that come by these edges (`*`: by any) get 500 from every task of the service, and all others 200. Resolves when all
 * tasks do so, with the time (ms since the epoch) before the first of them did.
 */
export async function failFor(service: string, edges: readonly string[]): Promise<number> {
  const at = Date.now()
  await askTasks(service, `/fail?edges=${edges.join(',')}`)
  return at
}

/** What has arrived at any task of the service since then, in order. */
export async function arrivals(service: string, since: number): Promise<Arrival[]> {
  const all = await askTasks<Arrival[]>(service, `/arrivals?since=${since}`)
  return all.flat().sort((a, b) => a[0] - b[0])
}
