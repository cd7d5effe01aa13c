// Controls the single tasks of a backend service from inside their containers' networks: makes them fail, and reads the requests
// that arrived.

import type { Arrival } from './backend/app.ts'
import { run } from './command.ts'
import { containersOf } from './stack.ts'
import { NODES } from './topology.ts'

const CONTROL = 'http://127.0.0.1:9100'

/** Calls every task of a service concurrently. The service is given by id, since another of the same name may still be in removal. */
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
 * Makes every task of the service answer 500 to requests through these edges (`*`: any edge), and 200 to all others. Resolves when all
 * tasks do so, with the time (ms since the epoch) before the first change.
 */
export async function failFor(service: string, edges: readonly string[]): Promise<number> {
  const at = Date.now()
  await askTasks(service, `/fail?edges=${edges.join(',')}`)
  return at
}

/** The requests that have arrived at any task of the service since `since`, in order. */
export async function arrivals(service: string, since: number): Promise<Arrival[]> {
  const all = await askTasks<Arrival[]>(service, `/arrivals?since=${since}`)
  return all.flat().sort((a, b) => a[0] - b[0])
}
