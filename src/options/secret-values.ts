// Secrets given directly or as the path of a file (such as a Docker secret). The source with the highest precedence is used. The
// content of a file never appears in an error.

import type { OptionsEnvironment } from './environment.ts'
import { MAX_SECRETS, splitSecrets } from './kinds.ts'
import { readOptionFile } from './option-file.ts'
import { quoted } from './quote.ts'
import type { Result } from './result.ts'
import type { OptionName } from './schema.ts'
import type { Layer, Sourced } from './sources.ts'

const MAX_SECRET_BYTES = 64 * 1024

interface SecretOption {
  readonly direct: OptionName
  readonly file: OptionName
  readonly holds: string
  /** The value of a file's lines that are not empty (at least one), or the error in them. */
  readonly read: (lines: string[]) => { readonly value: unknown } | { readonly problem: string }
}

const onePassword: SecretOption['read'] = lines =>
  lines.length === 1 ? { value: lines[0] } : { problem: `holds ${lines.length} lines, expected one` }

const SECRET_OPTIONS: readonly SecretOption[] = [
  {
    direct: 'secret',
    file: 'secretFile',
    holds: 'the secret',
    read: lines =>
      lines.length <= MAX_SECRETS
        ? { value: lines }
        : { problem: `holds ${lines.length} secrets (one a line), expected at most ${MAX_SECRETS}` },
  },
  { direct: 'redisPassword', file: 'redisPasswordFile', holds: 'the password', read: onePassword },
  { direct: 'redisSentinelPassword', file: 'redisSentinelPasswordFile', holds: 'the password', read: onePassword },
]

/** Sets the values of all secret options; returns the errors, one line each. */
export function resolveSecrets(
  values: Partial<Record<OptionName, unknown>>,
  origins: Map<OptionName, string>,
  layers: readonly Layer[],
  environment: OptionsEnvironment,
): string[] {
  return SECRET_OPTIONS.flatMap(option => {
    for (const layer of layers) {
      const direct = layer.get(option.direct)
      const file = layer.get(option.file)
      if (direct !== undefined && file !== undefined)
        return [`${direct.origin} and ${file.origin} are both given, expected one of them`]
      if (direct !== undefined) {
        values[option.file] = null
        return []
      }
      if (file === undefined) continue
      const read = readSecret(option, file, environment)
      if (!read.ok) return [...read.errors]
      values[option.direct] = read.value
      origins.set(option.direct, file.origin)
      return []
    }
    return []
  })
}

function readSecret({ holds, read }: SecretOption, file: Sourced, environment: OptionsEnvironment): Result<unknown> {
  const expected = `a file that holds ${holds}`
  const text = readOptionFile(environment, file.origin, String(file.value), MAX_SECRET_BYTES, expected)
  if (!text.ok) return text
  const lines = splitSecrets(text.value)
  const result = lines.length === 0 ? { problem: `holds nothing, expected ${expected}` } : read(lines)
  return 'problem' in result
    ? { ok: false, errors: [`${file.origin} is ${quoted(file.value)} and ${result.problem}`] }
    : { ok: true, value: result.value }
}
