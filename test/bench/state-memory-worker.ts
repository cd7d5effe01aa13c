// The data worker with one more message, `weigh`, on which it collects garbage and reports its memory. For processes started with
// --expose-gc.

import { pathToFileURL } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'

const { file } = workerData as { readonly file: string }

parentPort?.on('message', ({ kind }: { readonly kind: string }) => {
  if (kind !== 'weigh') return
  // Objects with finalizers are freed only by the second collection.
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  parentPort?.postMessage({ kind: 'weighed', heapUsed, external })
})

await import(pathToFileURL(file).href)
