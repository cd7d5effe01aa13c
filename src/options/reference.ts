// `npm run docs`: generates docs/reference.md (all options) and docs/skein.schema.json (for editors of the options file) from the
// table of options. A unit test fails if they are out of date.

import { readFileSync, writeFileSync } from 'node:fs'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { COMMAND_SUMMARIES, describeDefault, usage } from './help.ts'
import { OPTION_NAMES, specOf } from './schema.ts'
import { COMMANDS, envName, type OptionSpec } from './spec.ts'

const SPECS = OPTION_NAMES.map(specOf)

export function referencePage(): string {
  const lines = [
    '# Options',
    '',
    '<!-- Written by `npm run docs` from src/options/schema.ts. Edit there. -->',
    '',
    'Every option can be given as a flag, most also as an environment variable and as a key of a file. Flags win over the environment, and the',
    'environment wins over the file. `skein check` takes the same options as `skein run` and reports whether they are valid.',
    '',
    '- **Durations** are written `500ms`, `10s`, `2m`, `1h` or `1d`. **Sizes** are written `4096`, `64KiB` (1024) or `1MB` (1000 x 1000).',
    '- **Lists** repeat the flag (`--manager a --manager b`), are separated by commas in the environment (`SKEIN_MANAGER=a,b`) and are lists in a file.',
    '- **Switches** are written `--access-log`, `--no-access-log` or `--access-log=false`; `true` or `false` elsewhere.',
    '- **The file** (`--config`) is YAML, JSON or TOML. A dot in a key stands for nesting: `timeouts.connect` is `connect` under `timeouts`.',
    '  Editors complete and check YAML files that begin with `# yaml-language-server: $schema=` and the path of docs/skein.schema.json.',
    '- An invalid option is reported in one line with its name, its value and what was expected; the exit code is 2. Values of secrets are never shown.',
    '',
    '## Commands',
    '',
    '| Command | What it does |',
    '|---|---|',
    ...COMMANDS.map(command => `| \`skein ${command}\` | ${COMMAND_SUMMARIES[command]} |`),
  ]
  for (const group of [...new Set(SPECS.map(spec => spec.group))]) {
    lines.push('', `## ${group === 'Command' ? 'Options of single commands' : group}`)
    for (const spec of SPECS.filter(one => one.group === group)) lines.push('', ...section(spec))
  }
  lines.push('', '## A file with all defaults', '', '```yaml', ...exampleFile(), '```')
  lines.push('', '## Entry points in a file', '', '```yaml', ...ENTRY_POINTS, '```', '')
  return lines.join('\n')
}

/** An example of the structured form, which only files have; a test parses it. */
const ENTRY_POINTS = [
  'entryPoints:',
  "  web: ':80'",
  '  internal:',
  "    address: '10.0.0.1:8080'",
  '    forwardedHeaders: { trustedIPs: [10.0.0.0/8, 192.168.0.0/16] }',
  '    proxyProtocol: { trustedIPs: [10.0.0.5] }',
  '    ping: /ping',
]

function section(spec: OptionSpec): string[] {
  const rows = [
    ['Commands', spec.commands.map(command => `\`${command}\``).join(', ')],
    ...(spec.env ? [['Environment', `\`${envName(spec)}\``]] : []),
    ...(spec.file === null ? [] : [['File', `\`${spec.file}\``]]),
    ['Value', escapeCell(spec.kind.expected)],
    spec.default === null ? ['Without it', escapeCell(spec.whenAbsent)] : ['Default', `\`${spec.default}\``],
    ['Example', `\`${exampleOf(spec)}\``],
  ]
  return [
    `### \`${usage(spec)}\``,
    '',
    spec.description,
    '',
    '| | |',
    '|---|---|',
    ...rows.map(([name, value]) => `| ${name} | ${value} |`),
  ]
}

function exampleOf(spec: OptionSpec): string {
  if (spec.kind.placeholder === '') return spec.example === 'false' ? `--no-${spec.flag}` : `--${spec.flag}`
  return `--${spec.flag} ${spec.example}`
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|')
}

/** All keys that have a default, as YAML; a test parses it and compares it with the defaults. */
function exampleFile(): string[] {
  const lines: string[] = []
  let branch = ''
  for (const spec of SPECS) {
    if (spec.file === null || spec.default === null) continue
    const [first, second] = spec.file.split('.') as [string, string | undefined]
    if (second !== undefined && first !== branch) lines.push(`${first}:`)
    branch = second === undefined ? '' : first
    const value = spec.file === 'entryPoints' ? "['web=:80']" : yamlScalar(spec)
    lines.push(second === undefined ? `${first}: ${value}` : `  ${second}: ${value}`)
  }
  return lines
}

function yamlScalar(spec: OptionSpec): string {
  const value = spec.kind.fromText(spec.default as string)
  return typeof value === 'string' && /^\d|:/.test(value) ? `'${value}'` : String(value)
}

/** The JSON Schema (draft 2020-12) of the options file. */
export function jsonSchema(): string {
  const shape: Record<string, z.ZodType> = {}
  const branches: Record<string, Record<string, z.ZodType>> = {}
  for (const spec of SPECS) {
    if (spec.file === null) continue
    const [first, second] = spec.file.split('.') as [string, string | undefined]
    const described = spec.kind.schema.meta({ description: plain(spec) }).optional()
    if (second === undefined) shape[first] = described
    else (branches[first] ??= {})[second] = described
  }
  for (const [name, inner] of Object.entries(branches)) shape[name] = z.strictObject(inner).optional()
  const schema = z.strictObject(shape).meta({ title: 'Options of Skein' })
  return `${JSON.stringify(z.toJSONSchema(schema, { io: 'input', target: 'draft-2020-12', unrepresentable: 'any' }), null, 2)}\n`
}

function plain(spec: OptionSpec): string {
  return `${spec.description.replaceAll('`', '')} ${describeDefault(spec)}`
}

const PAGES = [
  ['../../docs/reference.md', referencePage],
  ['../../docs/skein.schema.json', jsonSchema],
] as const

/** The files under docs/ that are out of date. */
export function stalePages(): string[] {
  return PAGES.filter(([path, content]) => {
    try {
      return readFileSync(new URL(path, import.meta.url), 'utf8') !== content()
    } catch {
      return true
    }
  }).map(([path]) => path.replaceAll('../', ''))
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, content] of PAGES) writeFileSync(new URL(path, import.meta.url), content())
}
