// Reads files that options name, and describes why one cannot be read.

import type { OptionsEnvironment } from './environment.ts'
import { quoted } from './quote.ts'
import type { Result } from './result.ts'

/** The text of a file that an option names, or one line that says why it cannot be read. */
export function readOptionFile(
  environment: Pick<OptionsEnvironment, 'readText'>,
  origin: string,
  path: string,
  maxBytes: number,
  expected: string,
): Result<string> {
  try {
    return { ok: true, value: environment.readText(path, maxBytes) }
  } catch (error) {
    return { ok: false, errors: [`${origin} is ${quoted(path)} and ${describeReadError(error)}, expected ${expected}`] }
  }
}

/** An error of node:fs as a part of a sentence. */
export function describeReadError(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'there is no such file'
  if (code === 'EACCES') return 'it may not be read'
  return code === 'EISDIR' ? 'it is a directory' : message
}
