#!/usr/bin/env node
// Entry point of the command line: parses the command's name and runs the command. Each command's module is loaded only when it is
// used, so that small commands start fast. Exit codes: 0 success, 1 failure, 2 wrong usage.

import { exit } from 'node:process'

/** A command takes its arguments and resolves to the exit code. */
type CommandRunner = (args: readonly string[]) => Promise<number>

const RUNNERS: Readonly<Record<string, () => Promise<CommandRunner>>> = {
  run: async () => (await import('./cli/run.ts')).run,
  agent: async () => (await import('./cli/agent.ts')).agent,
  demo: async () => (await import('./cli/demo.ts')).demo,
  check: async () => (await import('./cli/check.ts')).check,
  routes: async () => (await import('./cli/routes.ts')).routes,
  status: async () => (await import('./cli/status.ts')).status,
  health: async () => (await import('./cli/health.ts')).health,
  secret: async () => (await import('./cli/secret.ts')).secret,
  version: async () => (await import('./cli/version.ts')).version,
  help: async () => (await import('./cli/help.ts')).help,
}

const [command = '--help', ...args] = process.argv.slice(2)
const name = command === '--help' || command === '-h' ? 'help' : command === '--version' || command === '-v' ? 'version' : command
const runner = Object.hasOwn(RUNNERS, name) ? RUNNERS[name] : undefined
if (runner === undefined) {
  const { unknownCommand } = await import('./cli/help.ts')
  process.stderr.write(`${unknownCommand(command)}\n`)
  exit(2)
}
const run = await runner()
const code = await run(args)
// Connections or timers that a command leaves open must not keep the process alive.
process.stdout.write('', () => exit(code))
