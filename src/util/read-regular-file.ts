// Reads a file of the data directory. If something else is in its place (a pipe, a directory, gigabytes), this can neither block nor
// exhaust the process.

import { readFileSync, statSync } from 'node:fs'

/** The text of a regular file of at most `maxBytes`; null if there is none. Throws with a message for the log. */
export function readRegularFile(path: string, maxBytes: number): string | null {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found === undefined) return null
  if (!found.isFile()) throw new Error('it is not a regular file')
  if (found.size > maxBytes) throw new Error(`it has ${found.size} bytes, expected at most ${maxBytes}`)
  return readFileSync(path, 'utf8')
}
