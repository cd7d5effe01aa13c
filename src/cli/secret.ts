// `skein secret`: prints a new secret and nothing else, so that it can be piped to where it is kept.

import { randomBytes } from 'node:crypto'
import { loadCommand, optionsEnvironment } from './start.ts'

/** As long as the keys that are derived from it. */
const SECRET_BYTES = 32

export async function secret(args: readonly string[]): Promise<number> {
  const loaded = await loadCommand('secret', optionsEnvironment(args))
  if (typeof loaded === 'number') return loaded
  process.stdout.write(`${randomBytes(SECRET_BYTES).toString('hex')}\n`)
  return 0
}
