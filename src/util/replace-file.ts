// Replaces a file as a whole or not at all: written beside it, flushed, renamed over it. After a crash either the old or the
// new content is there.

import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Makes the directory if it is missing. Rejects with the system's error (full disk, read-only, no permission); the old file is
 * then untouched.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const directory = dirname(path)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const beside = `${path}.${process.pid}.new`
  try {
    const file = await open(beside, 'w', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(beside, path)
  } catch (error) {
    await rm(beside, { force: true }).catch(() => undefined)
    throw error
  }
  // The rename itself is durable once the directory is flushed; not every file system can, and the content is safe either way.
  const handle = await open(directory, 'r').catch(() => null)
  await handle?.sync().catch(() => undefined)
  await handle?.close().catch(() => undefined)
}
