// Parses large files in a thread of their own: YAML of some megabytes takes seconds, and a leader whose control thread is
// blocked that long is suspected by its cluster. Bounded in time and memory, because the file is untrusted.

import { Worker } from 'node:worker_threads'
import { type Parsed, parseFile } from './parse-file.ts'

/** Up to this size a thread costs more than it saves, bytes. */
const INLINE_BYTES = 64 * 1024
const TIMEOUT_MS = 30_000
const MEMORY_MB = 512
const CHECK_MS = 100

/** As `parseFile`. Fails with a message after 30 s or once `isOver` returns true. */
export async function parseInThread(path: string, bytes: Uint8Array, isOver: () => boolean): Promise<Parsed> {
  if (bytes.length <= INLINE_BYTES) return parseFile(path, bytes)
  const url = new URL(import.meta.url.endsWith('.ts') ? './parse-worker.ts' : './parse-worker.js', import.meta.url)
  const worker = new Worker(url, {
    workerData: { path, bytes },
    name: 'services-file',
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
  })
  const end = performance.now() + TIMEOUT_MS
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
        if (isOver() || performance.now() > end) fail(`expected a file that can be read within ${TIMEOUT_MS / 1000} s`)
      }, CHECK_MS)
    })
  } finally {
    clearInterval(watch)
    await worker.terminate()
  }
}
