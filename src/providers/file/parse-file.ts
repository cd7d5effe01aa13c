// The text of a services file as plain values, by the ending of its name: TOML, YAML or JSON. Bounded in bytes, aliases and
// depth, for a file may have become anything. Pure; what the values mean is the business of src/labels.

import { loadToml } from '../../util/lean-imports.ts'
import { parseYaml } from './parse-yaml.ts'

export type Parsed = { readonly ok: true; readonly content: unknown } | { readonly ok: false; readonly message: string }

export const MAX_BYTES = 4 * 1024 * 1024
/** Far beyond what the form needs, and far below what recursion bears. */
const MAX_LEVELS = 64

/** Characters of JSON in which the place of a mistake is looked for. */
const MAX_SEARCHED = 256 * 1024

type Form = 'TOML' | 'YAML' | 'JSON'

/** By the ending of a file's name; null: it is none that is read. */
export function formOf(path: string): Form | null {
  const ending = /\.(toml|ya?ml|json)$/i.exec(path)?.[1]?.toLowerCase()
  return ending === undefined ? null : ending === 'toml' ? 'TOML' : ending === 'json' ? 'JSON' : 'YAML'
}

/** The message of a failure says what was expected and, where the parser knows, at which line; it quotes nothing of the file. */
export function parseFile(path: string, bytes: Uint8Array): Parsed {
  const form = formOf(path)
  if (form === null) return bad('expected a file named .toml, .yml, .yaml or .json')
  if (bytes.length > MAX_BYTES) return bad(`expected at most ${MAX_BYTES} bytes`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return bad(`expected ${form} in UTF-8, found bytes that are no text`)
  }
  const zero = text.indexOf('\0')
  if (zero >= 0) return bad(`expected ${form}, found a zero byte at line ${text.slice(0, zero).split('\n').length}`)
  // What a full disk leaves behind, more often than what somebody wants.
  if (text.trim() === '')
    return bad(`expected ${form}, found nothing (${form === 'JSON' ? '{}' : 'a comment'} alone says that there are no services)`)
  try {
    const parsed = PARSERS[form](text)
    return parsed.ok && isTooDeep(parsed.content) ? bad(`expected ${form} of at most ${MAX_LEVELS} levels`) : parsed
  } catch (error) {
    const why = error instanceof RangeError ? `of at most ${MAX_LEVELS} levels` : `(${firstLine(error)})`
    return bad(`expected ${form} ${why}`)
  }
}

const PARSERS: Readonly<Record<Form, (text: string) => Parsed>> = { TOML: readToml, YAML: readYaml, JSON: readJson }

function readToml(text: string): Parsed {
  const { parse, TomlError } = loadToml()
  try {
    return { ok: true, content: parse(text) }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    return bad(at('TOML', error.line, error.column, firstLine(error).replace('Invalid TOML document: ', '')))
  }
}

function readYaml(text: string): Parsed {
  const parsed = parseYaml(text)
  if (parsed === 'too deep') return bad(`expected YAML of at most ${MAX_LEVELS} levels`)
  if ('content' in parsed) return { ok: true, content: parsed.content }
  return bad(at('YAML', parsed.mistake.line, parsed.mistake.column, parsed.mistake.what))
}

function readJson(text: string): Parsed {
  try {
    return { ok: true, content: JSON.parse(text) }
  } catch (error) {
    const message = firstLine(error)
    const [, line, column] = /\(line (\d+) column (\d+)\)/.exec(message) ?? []
    if (line !== undefined) return bad(at('JSON', Number(line), Number(column), message.replace(/ in JSON at position .*$/, '')))
    if (/^Unexpected end/.test(message)) return bad(at('JSON', text.trimEnd().split('\n').length, undefined, 'it ends too early'))
    // V8 quotes the text instead of naming the place; the parser of YAML, of which JSON is a part, most often stops there too.
    const parsed = text.length > MAX_SEARCHED ? null : parseYaml(text)
    const place = typeof parsed === 'object' && parsed !== null && 'mistake' in parsed ? parsed.mistake : null
    return bad(at('JSON', place?.line, place?.column, message.replace(/, (\.\.\.)?".*$/s, '')))
  }
}

function at(form: Form, line: number | undefined, column: number | undefined, found: string): string {
  const place = line === undefined ? '' : column === undefined ? ` at line ${line}` : ` at line ${line}, column ${column}`
  return `expected ${form}${place} (${found.slice(0, 200)})`
}

function firstLine(error: unknown): string {
  return ((error as Error).message.split('\n')[0] ?? '').replace(/:$/, '').slice(0, 200)
}

function bad(message: string): Parsed {
  return { ok: false, message }
}

/** Deep, or (by an alias within what it stands for) endless. */
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
