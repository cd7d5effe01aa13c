// Parses a services file by the extension of its name: TOML, YAML or JSON. Bounded in bytes, aliases and depth, because the
// file is untrusted. Pure; src/labels interprets the values.

import { loadToml } from '../../util/lean-imports.ts'
import { parseYaml } from './parse-yaml.ts'

export type Parsed = { readonly ok: true; readonly content: unknown } | { readonly ok: false; readonly message: string }

export const MAX_BYTES = 4 * 1024 * 1024
/** Far above what the format needs, and far below what recursion allows. */
const MAX_LEVELS = 64

/** Largest JSON text, in characters, that is searched for the place of a mistake. */
const MAX_SEARCHED = 256 * 1024

type Format = 'TOML' | 'YAML' | 'JSON'

/** The format by the extension of the name; null: none that is read. */
export function formatOf(path: string): Format | null {
  const ending = /\.(toml|ya?ml|json)$/i.exec(path)?.[1]?.toLowerCase()
  return ending === undefined ? null : ending === 'toml' ? 'TOML' : ending === 'json' ? 'JSON' : 'YAML'
}

/** The message of a failure names what was expected and, where the parser reports it, the line; it quotes nothing of the file. */
export function parseFile(path: string, bytes: Uint8Array): Parsed {
  const format = formatOf(path)
  if (format === null) return failure('expected a file named .toml, .yml, .yaml or .json')
  if (bytes.length > MAX_BYTES) return failure(`expected at most ${MAX_BYTES} bytes`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return failure(`expected ${format} in UTF-8, found bytes that are not text`)
  }
  const zero = text.indexOf('\0')
  if (zero >= 0) return failure(`expected ${format}, found a zero byte at line ${text.slice(0, zero).split('\n').length}`)
  // A full disk leaves empty files behind.
  if (text.trim() === '')
    return failure(
      `expected ${format}, found nothing (${format === 'JSON' ? '{}' : 'a comment'} alone says that there are no services)`,
    )
  try {
    const parsed = PARSERS[format](text)
    return parsed.ok && isTooDeep(parsed.content) ? failure(`expected ${format} of at most ${MAX_LEVELS} levels`) : parsed
  } catch (error) {
    const why = error instanceof RangeError ? `of at most ${MAX_LEVELS} levels` : `(${firstLine(error)})`
    return failure(`expected ${format} ${why}`)
  }
}

const PARSERS: Readonly<Record<Format, (text: string) => Parsed>> = { TOML: readToml, YAML: readYaml, JSON: readJson }

function readToml(text: string): Parsed {
  const { parse, TomlError } = loadToml()
  try {
    return { ok: true, content: parse(text) }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    return failure(at('TOML', error.line, error.column, firstLine(error).replace('Invalid TOML document: ', '')))
  }
}

function readYaml(text: string): Parsed {
  const parsed = parseYaml(text)
  if (parsed === 'too deep') return failure(`expected YAML of at most ${MAX_LEVELS} levels`)
  if ('content' in parsed) return { ok: true, content: parsed.content }
  return failure(at('YAML', parsed.mistake.line, parsed.mistake.column, parsed.mistake.what))
}

function readJson(text: string): Parsed {
  try {
    return { ok: true, content: JSON.parse(text) }
  } catch (error) {
    const message = firstLine(error)
    const [, line, column] = /\(line (\d+) column (\d+)\)/.exec(message) ?? []
    if (line !== undefined)
      return failure(at('JSON', Number(line), Number(column), message.replace(/ in JSON at position .*$/, '')))
    if (/^Unexpected end/.test(message))
      return failure(at('JSON', text.trimEnd().split('\n').length, undefined, 'it ends too early'))
    // V8 quotes the text instead of naming the place. JSON is a subset of YAML, whose parser mostly stops at the same place.
    const parsed = text.length > MAX_SEARCHED ? null : parseYaml(text)
    const place = typeof parsed === 'object' && parsed !== null && 'mistake' in parsed ? parsed.mistake : null
    return failure(at('JSON', place?.line, place?.column, message.replace(/, (\.\.\.)?".*$/s, '')))
  }
}

function at(format: Format, line: number | undefined, column: number | undefined, found: string): string {
  const place = line === undefined ? '' : column === undefined ? ` at line ${line}` : ` at line ${line}, column ${column}`
  return `expected ${format}${place} (${found.slice(0, 200)})`
}

function firstLine(error: unknown): string {
  return ((error as Error).message.split('\n')[0] ?? '').replace(/:$/, '').slice(0, 200)
}

function failure(message: string): Parsed {
  return { ok: false, message }
}

/** Deep, or endless (an alias inside its own anchor). */
function isTooDeep(content: unknown): boolean {
  const deepest = new Map<object, number>()
  const open: (readonly [value: object, level: number])[] = []
  const add = (value: unknown, level: number): void => {
    if (typeof value !== 'object' || value === null || (deepest.get(value) ?? -1) >= level) return
    deepest.set(value, level)
    open.push([value, level])
  }
  add(content, 0)
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [value, level] = next
    if (level >= MAX_LEVELS) return true
    for (const inner of Object.values(value)) add(inner, level + 1)
  }
  return false
}
