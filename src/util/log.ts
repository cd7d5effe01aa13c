// The log: one JSON object a line, or text for people on a terminal. Lines are written synchronously, so that the last words of
// a process that exits are seen, and hold nothing that steers a terminal or forges a line. Secrets are kept out twice: by the
// names of fields, and by looking for the secret's own text in every line.

import { isatty } from 'node:tty'
import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino'
import { loadPretty } from './lean-imports.ts'
import { escaped, printable } from './printable.ts'

export type Log = Logger

const HIDDEN = '[hidden]'
const SECRET_FIELDS = [
  'secret',
  'cookieKey',
  'password',
  'passphrase',
  'psk',
  'authorization',
  'cookie',
  'set-cookie',
  '["proxy-authorization"]',
]

/** Paths at which the value of a field with such a name is hidden: at the top and up to two levels down. */
const REDACTED = SECRET_FIELDS.flatMap(field => {
  const key = field.startsWith('[') ? field : field.includes('-') ? `["${field}"]` : field
  const dotted = key.startsWith('[') ? key : `.${key}`
  return [key, `*${dotted}`, `*.*${dotted}`]
})

export interface LogOptions {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
  /** `auto`: readable on a terminal, JSON otherwise. */
  readonly format: 'auto' | 'json' | 'pretty'
}

export interface LogSetup {
  /** Fields of every line, such as the replica's name. */
  readonly fields?: Readonly<Record<string, string>>
  /** Texts that must not appear in any line. */
  readonly secrets?: readonly string[]
  /** Where lines go instead of the standard output; for tests. */
  readonly stream?: DestinationStream
}

/**
 * A log on the standard output. Secrets shorter than 4 characters cannot be told from other text and are hidden by field name
 * only.
 */
export function createLog(options: LogOptions, setup: LogSetup = {}): Log {
  const readable = options.format === 'pretty' || (options.format === 'auto' && setup.stream === undefined && isatty(1))
  const target = readable ? prettyStream(setup.stream) : (setup.stream ?? destination({ dest: 1, sync: true }))
  const secrets = (setup.secrets ?? []).filter(secret => secret.length >= 4)
  // A secret may hold characters that JSON escapes: both ways of writing it are looked for.
  const written = [...new Set(secrets.flatMap(secret => [JSON.stringify(secret).slice(1, -1), secret]))]
  return pino(
    {
      level: options.level,
      base: setup.fields ?? {},
      timestamp: stdTimeFunctions.isoTime,
      redact: { paths: REDACTED, censor: HIDDEN },
      ...(readable ? {} : { formatters: { level: label => ({ level: label }) } }),
      hooks: { streamWrite: line => fit(hide(line, written), readable) },
    },
    target,
  )
}

function hide(line: string, secrets: readonly string[]): string {
  let result = line
  for (const secret of secrets) if (result.includes(secret)) result = result.replaceAll(secret, HIDDEN)
  return result
}

/** One line that steers no terminal: JSON escapes most controls by itself, but not all. Text for people may lose them. */
function fit(line: string, readable: boolean): string {
  return `${(readable ? printable : escaped)(line.trimEnd())}\n`
}

function prettyStream(stream: DestinationStream | undefined): DestinationStream {
  // A message may quote labels, which others write: as text it must stay on its line.
  const messageFormat = (log: Record<string, unknown>, key: string): string => printable(String(log[key] ?? ''))
  const common = { sync: true, translateTime: 'SYS:HH:MM:ss.l', ignore: 'replica', singleLine: true, messageFormat }
  if (stream === undefined) return loadPretty()({ ...common, colorize: isatty(1), destination: 1 })
  const prettify = loadPretty().prettyFactory({ ...common, colorize: false })
  return { write: line => stream.write(prettify(line)) }
}
