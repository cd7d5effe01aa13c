// A data worker that can be weighed: the real one, and beside it a word (`weigh`) that collects garbage and tells what is left.
// For processes started with --expose-gc.

import { pathToFileURL } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'

const { file } = workerData as { readonly file: string }

parentPort?.on('message', ({ kind }: { readonly kind: string }) => {
  if (kind !== 'weigh') return
  // What the first collection finishes is free only after the second.
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  parentPort?.postMessage({ kind: 'weighed', heapUsed, external })
})

await import(pathToFileURL(file).href)
