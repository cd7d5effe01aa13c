// Reads large files in a thread of their own: YAML of some megabytes takes seconds, and a leader whose control thread stands still
// for so long is taken for dead. Bounded in time and memory, for a file may have become anything.

import { Worker } from 'node:worker_threads'
import { type Parsed, parseFile } from './parse-file.ts'

/** Up to so many bytes a thread costs more than it saves. */
const HERE_BYTES = 64 * 1024
const WITHIN_MS = 30_000
const MEMORY_MB = 512
const LOOK_MS = 100

/** As `parseFile`. Given up, with a message, after half a minute or once `isOver`. */
export async function parseInThread(path: string, bytes: Uint8Array, isOver: () => boolean): Promise<Parsed> {
  if (bytes.length <= HERE_BYTES) return parseFile(path, bytes)
  const url = new URL(import.meta.url.endsWith('.ts') ? './parse-worker.ts' : './parse-worker.js', import.meta.url)
  const worker = new Worker(url, {
    workerData: { path, bytes },
    name: 'services-file',
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
  })
  const end = performance.now() + WITHIN_MS
  let watch: NodeJS.Timeout | undefined
  try {
    return await new Promise<Parsed>(resolve => {
      const fail = (message: string): void => resolve({ ok: false, message })
      worker.once('message', (parsed: Parsed) => resolve(parsed))
      worker.once('error', error => {
        const { code, message } = error as NodeJS.ErrnoException
        const much = `expected a file that can be read with ${MEMORY_MB} MB of memory`
        fail(code === 'ERR_WORKER_OUT_OF_MEMORY' ? much : `expected a file that can be read: ${message}`)
      })
      worker.once('exit', () => fail('expected a file that can be read: the thread that reads it has ended'))
      watch = setInterval(() => {
        if (isOver() || performance.now() > end) fail(`expected a file that can be read within ${WITHIN_MS / 1000} s`)
      }, LOOK_MS)
    })
  } finally {
    clearInterval(watch)
    await worker.terminate()
  }
}
