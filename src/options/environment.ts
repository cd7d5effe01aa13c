// What the loading of options reads from outside: arguments, environment variables and files. It is passed in, so that tests can
// replace it (cli/start.ts has the real one).

import type { RunOptions } from './options.ts'

export interface OptionsEnvironment {
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly hostname: string
  /** Number of usable processors. */
  readonly cores: number
  /** True if `::` can be listened on, which covers all addresses of both families. */
  readonly hasIPv6: boolean
  /** Reads a whole file of at most `maxBytes`. Throws like node:fs, or if it is larger. */
  readonly readText: (path: string, maxBytes: number) => string
  /** The kind of a readable path. Throws like node:fs if it does not exist or is not readable. */
  readonly pathKindOf: (path: string) => 'file' | 'directory' | 'other'
  /** The error in the managers' TLS files, naming `--manager-tls-ca`, `-cert` or `-key`; null if there is none. */
  readonly checkManagerTlsFiles: (tls: RunOptions['swarm']['tls']) => string | null
  /** A new random key, as text. */
  readonly randomKey: () => string
}
