// The text of `--help`, generated from the table of options.

import { OPTION_NAMES, specOf } from './schema.ts'
import { COMMANDS, type Command, envName, type Group, type OptionSpec } from './spec.ts'

const WIDTH = 100

export const COMMAND_SUMMARIES: Readonly<Record<Command, string>> = {
  run: 'Run one replica of the proxy.',
  agent: "Serve a read-only, filtered view of this manager's Docker API to replicas that hold the secret.",
  demo: 'Run an emulated swarm with three replicas on this machine, to try Skein.',
  check: "Check options and, with --stack, a stack file's labels, without starting anything.",
  routes: 'Print the routes of a running replica.',
  status: 'Show the cluster as a running replica sees it: members, managers, store, breakers, ejected servers.',
  secret: 'Print a new secret for replicas and agents, and nothing else.',
  health: 'Ask a running replica whether it serves; exit code 0 if so, for health checks of containers.',
  version: 'Print the version.',
}

const EXAMPLES: Readonly<Record<Command, readonly string[]>> = {
  run: [
    'skein run --manager tcp://127.0.0.1:2375 --entry-point web=127.0.0.1:8080 --domain lab.test',
    'skein run --config /etc/skein/skein.yml',
  ],
  agent: ['skein agent --secret-file /run/secrets/skein'],
  demo: ['skein demo'],
  check: ['skein check --config skein.yml', 'skein check --domain example.com --stack docker-compose.yml'],
  routes: ['skein routes', 'skein routes --admin 10.0.0.5:9000 --json'],
  status: ['skein status', 'skein status --admin 10.0.0.5:9000 --json'],
  health: ['skein health'],
  secret: ['skein secret | docker secret create skein_secret -', 'skein secret > skein.secret'],
  version: ['skein version'],
}

export function generalHelp(): string {
  const longest = Math.max(...COMMANDS.map(command => command.length))
  return [
    'Skein, a high-availability edge proxy for Docker Swarm.',
    '',
    'Usage: skein COMMAND [OPTIONS]',
    '',
    ...COMMANDS.map(command => `  ${command.padEnd(longest)}  ${COMMAND_SUMMARIES[command]}`),
    '',
    'skein COMMAND --help lists the options of a command. Options are read from flags, then from SKEIN_* environment',
    'variables, then from a YAML or TOML file (--config).',
  ].join('\n')
}

export function commandHelp(command: Command): string {
  const specs = OPTION_NAMES.map(specOf).filter(spec => spec.commands.includes(command))
  const groups = [...new Set(specs.map(spec => spec.group))]
  const lines = [COMMAND_SUMMARIES[command], '', `Usage: skein ${command}${specs.length > 0 ? ' [OPTIONS]' : ''}`]
  for (const group of groups) {
    lines.push('', `${groupTitle(group)}:`)
    for (const spec of specs.filter(one => one.group === group)) lines.push(...describe(spec))
  }
  lines.push('', 'Examples:', ...EXAMPLES[command].map(example => `  ${example}`))
  return lines.join('\n')
}

function groupTitle(group: Group): string {
  return group === 'Command' ? 'This command' : group
}

/** The syntax of the option: `--grace DURATION`, `--[no-]access-log`. */
export function usage(spec: OptionSpec): string {
  if (spec.kind.placeholder === '') return `--[no-]${spec.flag}`
  return `--${spec.flag} ${spec.kind.placeholder}${spec.kind.list ? ' ...' : ''}`
}

/** The behaviour without the option. */
export function describeDefault(spec: OptionSpec): string {
  return spec.default === null ? `Without it: ${spec.whenAbsent}.` : `Default: ${spec.default}.`
}

function describe(spec: OptionSpec): string[] {
  const from = spec.env ? ` [${envName(spec)}]` : ''
  return [
    `  ${usage(spec)}`,
    ...wrap(`${spec.description.replaceAll('`', '')} ${describeDefault(spec)}${from}`, WIDTH - 6).map(line => `      ${line}`),
  ]
}

/** Lines of at most `width` characters, broken at spaces; a longer word gets its own line. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  lines.push(line)
  return lines
}
