// The kinds of values of options: a Zod schema for the form in a file, the conversion of text (a flag or an environment variable) to
// that form, and the text of what was expected. Validation, help, the reference page and the JSON Schema use them.

import { isIP } from 'node:net'
import { z } from 'zod'

export interface Kind<T> {
  /** Converts the form in a file to the value; its input type becomes the JSON Schema. */
  readonly schema: z.ZodType<T>
  /** Ends the sentence "..., expected". */
  readonly expected: string
  /** Placeholder of the value in help: `--connect-timeout DURATION`; empty for switches. */
  readonly placeholder: string
  /** True for a list: the flag may be repeated, and text is split at commas. */
  readonly list: boolean
  /** Converts text to the form in a file. Returns malformed text unchanged; the schema refuses it. */
  readonly fromText: (text: string) => unknown
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** Node's timers are limited to 31 bits of milliseconds. */
const MAX_DURATION_MS = 2_147_483_647
const DURATION = /^(\d{1,10}(?:\.\d{1,6})?)(ms|s|m|h|d)$/
const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
}
const SIZE = /^(\d{1,15}(?:\.\d{1,6})?) ?([kmg]i?b|b)?$/i

const identity = (text: string): unknown => text

/** Milliseconds in `500ms`, `10s`, `1.5m`, `2h`, `1d` or `0`; null if it is not a duration or longer than 24.8 days. */
export function parseDuration(text: string): number | null {
  if (text === '0') return 0
  const match = DURATION.exec(text)
  if (match === null) return null
  const ms = Math.round(Number(match[1]) * (UNIT_MS[match[2] as string] as number))
  return ms <= MAX_DURATION_MS ? ms : null
}

/** The shortest text for a duration in ms: 90000 is `90s`, 3600000 is `1h`. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const size = UNIT_MS[unit] as number
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`
  }
  return ms === 0 ? '0' : `${ms}ms`
}

/** Bytes in `64KiB`, `1MB`, `1.5 GiB`, `4096`; null if it is not a size. Units with `i` are powers of 1024, others of 1000. */
export function parseSize(text: string): number | null {
  const match = SIZE.exec(text)
  if (match === null) return null
  const bytes = Math.round(Number(match[1]) * (UNIT_BYTES[(match[2] ?? '').toLowerCase()] as number))
  return Number.isSafeInteger(bytes) ? bytes : null
}

/** The shortest text for a size in bytes: 65536 is `64KiB`. */
export function formatSize(bytes: number): string {
  for (const [unit, size] of [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ] as const) {
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return String(bytes)
}

export interface HostPort {
  readonly host: string
  readonly port: number
}

/** `HOST:PORT`, `[V6]:PORT` or `:PORT` (host ''); null for anything else. Names are lower-cased; port 0 to 65535. */
export function parseHostPort(text: string): HostPort | null {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([^\s:[\]/@,]{0,253})):(\d{1,5})$/.exec(text)
  if (match === null) return null
  const port = Number(match[3])
  const host = match[1] ?? (match[2] as string)
  if (port > 65535) return null
  if (match[1] !== undefined) return isIP(host) === 6 ? { host: host.toLowerCase(), port } : null
  if (/^[\d.]+$/.test(host) && isIP(host) !== 4) return null
  return /^[A-Za-z0-9._-]*$/.test(host) ? { host: host.toLowerCase(), port } : null
}

/** `10.0.0.0/8`, `fd00::/8` or a single address without a zone. As strict as proxy/listen/trusted-addresses.ts, which reads them. */
export function isCidr(text: string): boolean {
  const [, address = '', bits = '0'] = /^([^/%]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? []
  const family = isIP(address)
  return family !== 0 && Number(bits) <= (family === 4 ? 32 : 128)
}

/** A duration from `minMs` to `maxMs`, both included; the value is in milliseconds. */
export function durationKind(minMs: number, maxMs = MAX_DURATION_MS): Kind<number> {
  const range = `${minMs === 0 ? '0' : formatDuration(minMs)} to ${maxMs === MAX_DURATION_MS ? '24d' : formatDuration(maxMs)}`
  return {
    schema: z
      .union([z.string().regex(/^(0|\d+(\.\d+)?(ms|s|m|h|d))$/), z.literal(0)])
      .transform(value => (value === 0 ? 0 : parseDuration(value)))
      .refine(ms => ms !== null && ms >= minMs && ms <= maxMs)
      .pipe(z.number()),
    expected: `a duration such as 500ms, 10s, 2m or 1h (${range})`,
    placeholder: 'DURATION',
    list: false,
    fromText: identity,
  }
}

/** A size from `minBytes` to `maxBytes`, both included; the value is in bytes. */
export function sizeKind(minBytes: number, maxBytes: number): Kind<number> {
  return {
    schema: z
      .union([z.string().regex(/^\d+(\.\d+)? ?([kKmMgG]i?[bB]|[bB])?$/), z.int().min(0)])
      .transform(value => (typeof value === 'number' ? value : parseSize(value)))
      .refine(bytes => bytes !== null && bytes >= minBytes && bytes <= maxBytes)
      .pipe(z.number()),
    expected: `a size such as 4096, 64KiB or 1MB (${formatSize(minBytes)} to ${formatSize(maxBytes)})`,
    placeholder: 'SIZE',
    list: false,
    fromText: text => (/^\d+$/.test(text) ? Number(text) : text),
  }
}

/** A whole number from `min` to `max`, both included. */
export function integerKind(min: number, max: number): Kind<number> {
  return {
    schema: z.int().min(min).max(max),
    expected: `a whole number from ${min} to ${max}`,
    placeholder: 'N',
    list: false,
    fromText: text => (/^-?\d{1,15}$/.test(text) ? Number(text) : text),
  }
}

/** A share from 0 to 1, both included. */
export function ratioKind(): Kind<number> {
  return {
    schema: z.number().min(0).max(1),
    expected: 'a number from 0 to 1, such as 0.2',
    placeholder: 'RATIO',
    list: false,
    fromText: text => (/^\d*\.?\d+$/.test(text) ? Number(text) : text),
  }
}

/** true or false; `1` and `0` are accepted too, because they are common in environment variables. */
export function switchKind(): Kind<boolean> {
  return {
    schema: z.boolean(),
    expected: 'true or false',
    placeholder: '',
    list: false,
    fromText: text => (text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text),
  }
}

export function choiceKind<const T extends string>(choices: readonly [T, ...T[]]): Kind<T> {
  return {
    schema: z.enum(choices) as unknown as z.ZodType<T>,
    expected: `one of ${choices.join(', ')}`,
    placeholder: choices.join('|'),
    list: false,
    fromText: identity,
  }
}

/** Text of one line that matches a pattern. */
export function textKind(placeholder: string, pattern: RegExp, expected: string): Kind<string> {
  return { schema: z.string().regex(pattern), expected, placeholder, list: false, fromText: identity }
}

/** The path of a file or directory, which need not exist. */
export function pathKind(placeholder: string, expected: string): Kind<string> {
  return textKind(placeholder, /^[^\0]{1,4096}$/, expected)
}

/** At most 256 texts that each match `item`. */
export function listKind(placeholder: string, item: RegExp, expected: string): Kind<string[]> {
  return {
    schema: z.array(z.string().regex(item)).max(256),
    expected,
    placeholder,
    list: true,
    fromText: text => splitList(text),
  }
}

/** An address to listen on or to connect to: `HOST:PORT`, `:PORT`. */
export function hostPortKind(options: { readonly off: boolean; readonly minPort: number }): Kind<HostPort | null> {
  const expected = `HOST:PORT such as 127.0.0.1:9000 (port ${options.minPort} to 65535)${options.off ? ', or off' : ''}`
  const address = z
    .string()
    .regex(/^.*:\d+$|^off$/)
    .transform(text => (text === 'off' ? null : (parseHostPort(text) ?? undefined)))
    .refine(value => value !== undefined && (value === null ? options.off : value.port >= options.minPort))
    .transform(value => value ?? null)
  return {
    schema: options.off ? z.union([address, z.literal(false).transform(() => null)]) : address,
    expected,
    placeholder: 'HOST:PORT',
    list: false,
    fromText: identity,
  }
}

/** An address of this machine to listen on: `:PORT` or an IP address with a port; port 0 is any free port. */
export function listenKind(): Kind<HostPort> {
  return {
    schema: z
      .string()
      .regex(/^.*:\d+$/)
      .transform(text => parseHostPort(text))
      .refine(value => value !== null && (value.host === '' || isIP(value.host) !== 0))
      .pipe(z.custom<HostPort>()),
    expected: 'ADDRESS:PORT such as 10.0.0.5:7998 or [fd00::5]:7998, or :PORT for all addresses (port 0 to 65535)',
    placeholder: 'ADDRESS:PORT',
    list: false,
    fromText: identity,
  }
}

/** Secrets, one per line; surrounding white space and empty lines are ignored. The first is used, all are accepted. */
export function secretKind(): Kind<string[]> {
  return {
    schema: z
      .string()
      .regex(/^[\s\S]{1,65536}$/)
      .transform(splitSecrets)
      .refine(secrets => secrets.length > 0 && secrets.length <= MAX_SECRETS),
    expected: `one to ${MAX_SECRETS} lines, each a secret, of at most 64 KiB together`,
    placeholder: 'SECRET',
    list: false,
    fromText: identity,
  }
}

/** Secrets that may be valid at once; two are enough to change the secret. */
export const MAX_SECRETS = 4

/** The distinct lines that are not empty, trimmed. */
export function splitSecrets(text: string): string[] {
  const lines = text.replace(/^\uFEFF/, '').split(/[\r\n]+/)
  return [...new Set(lines.map(line => line.trim()).filter(line => line !== ''))]
}

/** Splits at commas, trims, and drops empty items (`a, b,` is two items). */
export function splitList(text: string): string[] {
  return text
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')
}
