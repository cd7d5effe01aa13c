// The log: one JSON object per line, or readable text on a terminal. Lines are written synchronously, so that those before an exit
// are not lost. They contain no character that could control a terminal or forge a line. Secrets are hidden in two ways: by the
// names of fields, and by their own text in any line.

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

/** Paths at which the value of a field with such a name is hidden: at the top level and up to two levels below. */
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
  /** Texts that are hidden in every line. */
  readonly secrets?: readonly string[]
  /** Replaces the standard output; for tests. */
  readonly stream?: DestinationStream
}

/** Creates a log on the standard output. Secrets of less than 4 characters may occur in other text, so only their fields are hidden. */
export function createLog(options: LogOptions, setup: LogSetup = {}): Log {
  const readable = options.format === 'pretty' || (options.format === 'auto' && setup.stream === undefined && isatty(1))
  const target = readable ? prettyStream(setup.stream) : (setup.stream ?? destination({ dest: 1, sync: true }))
  const secrets = (setup.secrets ?? []).filter(secret => secret.length >= 4)
  // A secret may contain characters that JSON escapes, so both forms are replaced.
  const written = [...new Set(secrets.flatMap(secret => [JSON.stringify(secret).slice(1, -1), secret]))]
  return pino(
    {
      level: options.level,
      base: setup.fields ?? {},
      timestamp: stdTimeFunctions.isoTime,
      redact: { paths: REDACTED, censor: HIDDEN },
      ...(readable ? {} : { formatters: { level: label => ({ level: label }) } }),
      hooks: { streamWrite: line => makePrintable(hide(line, written), readable) },
    },
    target,
  )
}

function hide(line: string, secrets: readonly string[]): string {
  let result = line
  for (const secret of secrets) if (result.includes(secret)) result = result.replaceAll(secret, HIDDEN)
  return result
}

/** One line without control characters. JSON escapes most of them itself, but not all; in readable text they become `?`. */
function makePrintable(line: string, readable: boolean): string {
  return `${(readable ? printable : escaped)(line.trimEnd())}\n`
}

function prettyStream(stream: DestinationStream | undefined): DestinationStream {
  // A message may quote labels, which others write; it must not contain line ends.
  const messageFormat = (log: Record<string, unknown>, key: string): string => printable(String(log[key] ?? ''))
  const common = { sync: true, translateTime: 'SYS:HH:MM:ss.l', ignore: 'replica', singleLine: true, messageFormat }
  if (stream === undefined) return loadPretty()({ ...common, colorize: isatty(1), destination: 1 })
  const prettify = loadPretty().prettyFactory({ ...common, colorize: false })
  return { write: line => stream.write(prettify(line)) }
}
