// `skein check`: validates the options and, with --stack or --services-file, a stack file's labels or the services files. Starts
// nothing. Exit codes: 0 valid (with or without warnings), 1 an error in a label or a file, 2 an invalid option.

import { unknownEntryPoints } from '../config/entry-points.ts'
import type { ConfigError } from '../config/model.ts'
import type { OpenRouter, StackOptions } from '../labels/stack-file/stack-file.ts'
import type { OptionsEnvironment } from '../options/environment.ts'
import { runOptions } from '../options/load.ts'
import { dialectOptionsOf } from '../providers/swarm/dialect-options.ts'
import { describeError } from './describe-error.ts'
import { loadCommand, optionsEnvironment, readTextFile, reportErrors } from './start.ts'
import { tableLines } from './table.ts'

const MAX_STACK_BYTES = 4 * 1024 ** 2

export async function check(args: readonly string[]): Promise<number> {
  const environment = optionsEnvironment(args)
  const loaded = await loadCommand('check', environment)
  if (typeof loaded === 'number') return loaded
  const result = runOptions(loaded, environment)
  if (!result.ok) return reportErrors('check', result.errors, 2)
  for (const warning of loaded.warnings) process.stderr.write(`skein check: warning: ${warning}\n`)
  const { options, disabled } = result.value
  process.stdout.write(`The options are valid.\n${disabled.map(line => `  off: ${line}\n`).join('')}`)
  if (options.swarm.managers.length === 0 && options.files.length === 0)
    process.stdout.write('  no --manager and no --services-file: skein run needs one of them\n')
  const entryPoints = options.dataPlane.entryPoints.map(({ name }) => name)
  const stop = { drainDelayMs: options.drainDelayMs, graceMs: options.graceMs }
  const labels = { ...dialectOptionsOf(options.swarm), network: options.swarm.network, entryPoints, stop }
  const files = options.files.length === 0 ? 0 : await checkFiles(options.files, entryPoints)
  const { stack } = loaded.values
  return Math.max(files, stack === null ? 0 : await checkStack(stack, labels, environment.env))
}

async function checkFiles(paths: readonly string[], entryPoints: readonly string[]): Promise<number> {
  const { problemToError, FileStates } = await import('../providers/file/file-states.ts')
  const { scanFiles } = await import('../providers/file/read-files.ts')
  const { readTraefikV1Files } = await import('../labels/traefik-v1/file.ts')
  const states = new FileStates(paths)
  await scanFiles(states, paths)
  const { routers, errors } = readTraefikV1Files(states.files())
  const unknown = unknownEntryPoints(Object.values(routers), entryPoints, 'traefik')
  return printErrors([...states.problems().map(problemToError), ...errors, ...unknown], 'The services files', paths.join(', '))
}

async function checkStack(path: string, labelOptions: StackOptions, env: OptionsEnvironment['env']): Promise<number> {
  let text: string
  try {
    text = readTextFile(path, MAX_STACK_BYTES)
  } catch (error) {
    return reportErrors(
      'check',
      [`--stack is ${JSON.stringify(path)} and cannot be read (${(error as Error).message}), expected a stack file`],
      2,
    )
  }
  const { checkStackFile, STACK_NAME } = await import('../labels/stack-file/stack-file.ts')
  const { errors, open } = checkStackFile(text, labelOptions, env)
  process.stdout.write(`${openTable(open, path, STACK_NAME).join('\n')}\n`)
  return printErrors(errors, `The labels in ${path}`, path)
}

/** The routers that a stack will open, one line each. */
function openTable(open: readonly OpenRouter[], path: string, stackName: string): string[] {
  if (open.length === 0) return [`Nothing in ${path} will be open.`]
  const rows = open.map(({ service, router, rule, entryPoints, ports }) => [
    service,
    router,
    rule,
    entryPoints.join(',') || 'all',
    ports.join(','),
  ])
  const table = tableLines([['SERVICE', 'ROUTER', 'RULE', 'ENTRY POINTS', 'PORT'], ...rows])
  return [`What ${path} will open (${stackName}: the name given to docker stack deploy):`, ...table.map(line => `  ${line}`)]
}

/** Prints one line for each error and a summary; returns the exit code. */
function printErrors(errors: readonly ConfigError[], what: string, where: string): number {
  for (const error of errors) process.stdout.write(`${describeError(error)}\n`)
  const count = errors.filter(error => error.severity === 'error').length
  process.stdout.write(count === 0 ? `${what} are valid.\n` : `${count} ${count === 1 ? 'error' : 'errors'} in ${where}.\n`)
  return count === 0 ? 0 : 1
}
