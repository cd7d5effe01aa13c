// Secrets that can be given as they are or as the path of a file that holds them (a Docker secret): the strongest source decides,
// and what a file holds is never shown.

import { MAX_SECRETS, splitSecrets } from './kinds.ts'
import type { OptionsEnvironment, Result } from './load.ts'
import type { OptionName } from './schema.ts'
import { type Layer, quoted, type Sourced } from './sources.ts'

const MAX_SECRET_BYTES = 64 * 1024

interface Pair {
  readonly direct: OptionName
  readonly file: OptionName
  readonly holds: string
  /** The value in the lines of a file that hold something (at least one), or what is wrong with them. */
  readonly read: (lines: string[]) => { readonly value: unknown } | { readonly wrong: string }
}

const onePassword: Pair['read'] = lines =>
  lines.length === 1 ? { value: lines[0] } : { wrong: `holds ${lines.length} lines, expected one` }

const PAIRS: readonly Pair[] = [
  {
    direct: 'secret',
    file: 'secretFile',
    holds: 'the secret',
    read: lines =>
      lines.length <= MAX_SECRETS
        ? { value: lines }
        : { wrong: `holds ${lines.length} secrets (one a line), expected at most ${MAX_SECRETS}` },
  },
  { direct: 'redisPassword', file: 'redisPasswordFile', holds: 'the password', read: onePassword },
  { direct: 'redisSentinelPassword', file: 'redisSentinelPasswordFile', holds: 'the password', read: onePassword },
]

/** Fills the values of all such options; mistakes are returned, one line each. */
export function resolveSecrets(
  values: Partial<Record<OptionName, unknown>>,
  origins: Map<OptionName, string>,
  layers: readonly Layer[],
  around: OptionsEnvironment,
): string[] {
  return PAIRS.flatMap(pair => {
    for (const layer of layers) {
      const direct = layer.get(pair.direct)
      const file = layer.get(pair.file)
      if (direct !== undefined && file !== undefined)
        return [`${direct.origin} and ${file.origin} are both given, expected one of them`]
      if (direct !== undefined) {
        values[pair.file] = null
        return []
      }
      if (file === undefined) continue
      const read = readSecret(pair, file, around)
      if (!read.ok) return [...read.errors]
      values[pair.direct] = read.value
      origins.set(pair.direct, file.origin)
      return []
    }
    return []
  })
}

function readSecret({ holds, read }: Pair, file: Sourced, around: OptionsEnvironment): Result<unknown> {
  const expected = `a file that holds ${holds}`
  const text = readOptionFile(around, file.origin, String(file.value), MAX_SECRET_BYTES, expected)
  if (!text.ok) return text
  const lines = splitSecrets(text.value)
  const result = lines.length === 0 ? { wrong: `holds nothing, expected ${expected}` } : read(lines)
  return 'wrong' in result
    ? { ok: false, errors: [`${file.origin} is ${quoted(file.value)} and ${result.wrong}`] }
    : { ok: true, value: result.value }
}

/** The text of a file that an option names, or one line that says why it cannot be had. */
export function readOptionFile(
  around: OptionsEnvironment,
  origin: string,
  path: string,
  maxBytes: number,
  expected: string,
): Result<string> {
  try {
    return { ok: true, value: around.readText(path, maxBytes) }
  } catch (error) {
    return { ok: false, errors: [`${origin} is ${quoted(path)} and ${describeReadError(error)}, expected ${expected}`] }
  }
}

/** What node:fs threw, in words that go on a line. */
export function describeReadError(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'there is no such file'
  if (code === 'EACCES') return 'it may not be read'
  return code === 'EISDIR' ? 'it is a directory' : message
}
