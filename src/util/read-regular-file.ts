// Reads a file that Skein keeps for itself. Whatever has become of it (a pipe, a directory, gigabytes) it can neither hang nor
// exhaust the process.

import { readFileSync, statSync } from 'node:fs'

/** The text of a regular file of at most so many bytes; null when there is none. Throws with a message for the log. */
export function readRegularFile(path: string, mostBytes: number): string | null {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found === undefined) return null
  if (!found.isFile()) throw new Error('it is no regular file')
  if (found.size > mostBytes) throw new Error(`it has ${found.size} bytes, expected at most ${mostBytes}`)
  return readFileSync(path, 'utf8')
}
