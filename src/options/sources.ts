// The sources of options: the command line, SKEIN_* variables and a file. Each gives a layer of values in the form that a file has
// (kinds.ts), with their origins. Only the names of options are validated here.

import { loadToml, loadYaml } from '../util/lean-imports.ts'
import { nearest } from './nearest.ts'
import { quoted } from './quote.ts'
import { OPTION_NAMES, type OptionName, specOf } from './schema.ts'
import { type Command, envName } from './spec.ts'

/** One value with its origin, such as `--grace`, `SKEIN_GRACE` or `grace in skein.yml`. */
export interface Sourced {
  readonly origin: string
  readonly value: unknown
}

export type Layer = ReadonlyMap<OptionName, Sourced>

export interface Parsed {
  readonly layer: Layer
  readonly errors: readonly string[]
}

export interface ParsedFlags extends Parsed {
  readonly help: boolean
}

/**
 * `--flag value`, `--flag=value`, `--switch`, `--no-switch`; lists may be repeated. Only options of the command are accepted.
 * Never throws; errors are lines in `errors`.
 */
export function parseFlags(command: Command, args: readonly string[]): ParsedFlags {
  const known = new Map(
    OPTION_NAMES.filter(name => specOf(name).commands.includes(command)).map(name => [specOf(name).flag, name]),
  )
  const layer = new Map<OptionName, Sourced>()
  const errors: string[] = []
  let help = false
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] as string
    if (arg === '--help' || arg === '-h') {
      help = true
      continue
    }
    if (!arg.startsWith('--') || arg === '--') {
      errors.push(`${quoted(arg)} is not an option, expected options that begin with -- (see skein ${command} --help)`)
      continue
    }
    const equals = arg.indexOf('=')
    const written = equals < 0 ? arg.slice(2) : arg.slice(2, equals)
    const negated = !known.has(written) && written.startsWith('no-') && isSwitch(known.get(written.slice(3)))
    const name = known.get(negated ? written.slice(3) : written)
    if (name === undefined) {
      errors.push(unknownFlag(command, written, [...known.keys()]))
      // The next argument is probably its value, so it is not reported as a second error.
      if (equals < 0 && args[index + 1]?.startsWith('-') === false) index += 1
      continue
    }
    const spec = specOf(name)
    const origin = `--${written}`
    let text: string
    if (negated) {
      text = 'false'
      if (equals >= 0) errors.push(`${origin} takes no value, expected --${spec.flag}=true or --${spec.flag}=false`)
    } else if (equals >= 0) {
      text = arg.slice(equals + 1)
    } else if (isSwitch(name)) {
      const next = args[index + 1]
      text = next === 'true' || next === 'false' ? (args[++index] as string) : 'true'
    } else {
      const next = args[index + 1]
      if (next === undefined || next.startsWith('--')) {
        errors.push(`${origin} has no value, expected ${spec.kind.expected}`)
        continue
      }
      text = args[++index] as string
    }
    const value = spec.kind.fromText(text)
    const earlier = layer.get(name)
    if (earlier === undefined) layer.set(name, { origin, value })
    else if (spec.kind.list) layer.set(name, { origin, value: [...(earlier.value as unknown[]), ...(value as unknown[])] })
    else errors.push(`${origin} is given twice, expected it once`)
  }
  return { layer, errors, help }
}

function isSwitch(name: OptionName | undefined): boolean {
  return name !== undefined && specOf(name).kind.placeholder === ''
}

function unknownFlag(command: Command, written: string, flags: readonly string[]): string {
  const other = OPTION_NAMES.map(specOf).find(spec => spec.flag === written)
  if (other !== undefined)
    return `--${written} is not an option of skein ${command}, expected it with skein ${other.commands.join(' or skein ')}`
  const guess = nearest(written, flags)
  const hint = guess === null ? `an option of skein ${command} (see skein ${command} --help)` : `--${guess}?`
  return `--${quoted(written).slice(1, -1)} is unknown, ${guess === null ? 'expected' : 'did you mean'} ${hint}`
}

/** SKEIN_* variables. Those of other commands are ignored; unknown ones give warnings, because they may be misspelt. */
export function parseEnv(
  command: Command,
  env: Readonly<Record<string, string | undefined>>,
): Parsed & { readonly warnings: readonly string[] } {
  const layer = new Map<OptionName, Sourced>()
  const names = new Map<string, OptionName>()
  for (const name of OPTION_NAMES) if (specOf(name).env) names.set(envName(specOf(name)), name)
  const warnings: string[] = []
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('SKEIN_') || text === undefined) continue
    const name = names.get(variable)
    if (name === undefined) {
      const guess = nearest(variable, [...names.keys()])
      warnings.push(`${variable} is ignored: no option has this name${guess === null ? '' : `, did you mean ${guess}?`}`)
    } else if (specOf(name).commands.includes(command) && text !== '') {
      layer.set(name, { origin: variable, value: specOf(name).kind.fromText(text) })
    }
  }
  return { layer, errors: [], warnings }
}

/** Parses a file by the extension of its name. Unknown keys are errors; options of other commands are skipped. */
export function parseFile(command: Command, path: string, text: string): Parsed {
  const layer = new Map<OptionName, Sourced>()
  const extension = /\.(ya?ml|json|toml)$/i.exec(path)?.[1]?.toLowerCase()
  if (extension === undefined)
    return { layer, errors: [`--config is ${quoted(path)}, expected a file named .yml, .yaml, .json or .toml`] }
  let content: unknown
  try {
    content = extension === 'toml' ? loadToml().parse(text) : loadYaml().parse(text, { maxAliasCount: 100, logLevel: 'error' })
  } catch (error) {
    const why = (error as Error).message.split('\n')[0]?.replace(/:$/, '')
    return { layer, errors: [`${path} cannot be read as ${extension === 'toml' ? 'TOML' : 'YAML'}: ${why}`] }
  }
  if (content === null || content === undefined) return { layer, errors: [] }
  if (!isMap(content)) return { layer, errors: [`${path} is ${kindOf(content)}, expected a map of options`] }
  const leaves = new Map<string, OptionName>()
  const branches = new Set<string>()
  for (const name of OPTION_NAMES) {
    const key = specOf(name).file
    if (key === null) continue
    leaves.set(key, name)
    if (key.includes('.')) branches.add(key.slice(0, key.indexOf('.')))
  }
  const errors: string[] = []
  const visit = (map: Record<string, unknown>, prefix: string): void => {
    for (const [part, value] of Object.entries(map)) {
      const key = prefix + part
      const name = leaves.get(key)
      if (name !== undefined) {
        if (specOf(name).commands.includes(command) && value !== null) layer.set(name, { origin: `${key} in ${path}`, value })
      } else if (branches.has(key)) {
        if (isMap(value)) visit(value, `${key}.`)
        else {
          const parts = [...leaves.keys()].filter(leaf => leaf.startsWith(`${key}.`))
          errors.push(`${key} in ${path} is ${quoted(value)}, expected a map with ${parts.join(', ')}`)
        }
      } else {
        const guess = nearest(key, [...leaves.keys(), ...branches])
        const hint = guess === null ? 'expected a key of docs/reference.md' : `did you mean ${guess}?`
        errors.push(`${quoted(key).slice(1, -1)} in ${path} is unknown, ${hint}`)
      }
    }
  }
  visit(content, '')
  return { layer, errors }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`
}
