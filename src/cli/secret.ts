// `skein secret`: prints a new secret and nothing else, so that the output can be piped into a file or a Docker secret.

import { randomBytes } from 'node:crypto'
import { loadCommand, optionsEnvironment } from './start.ts'

/** The length of the keys that are derived from it. */
const SECRET_BYTES = 32

export async function secret(args: readonly string[]): Promise<number> {
  const loaded = await loadCommand('secret', optionsEnvironment(args))
  if (typeof loaded === 'number') return loaded
  process.stdout.write(`${randomBytes(SECRET_BYTES).toString('hex')}\n`)
  return 0
}
