// `skein help [COMMAND]`, `skein --help`, and the error for an unknown command.

import { commandHelp, generalHelp } from '../options/help.ts'
import { nearest } from '../options/nearest.ts'
import { COMMANDS, type Command } from '../options/spec.ts'

export async function help(args: readonly string[]): Promise<number> {
  const command = args[0]
  if (command === undefined || command === '--help' || command === '-h') {
    process.stdout.write(`${generalHelp()}\n`)
    return 0
  }
  if (!(COMMANDS as readonly string[]).includes(command)) {
    process.stderr.write(`${unknownCommand(command)}\n`)
    return 2
  }
  process.stdout.write(`${commandHelp(command as Command)}\n`)
  return 0
}

/** One line that names the given command and the most similar one. */
export function unknownCommand(written: string): string {
  const guess = nearest(written, [...COMMANDS, 'help'])
  const hint = guess === null ? `expected one of ${COMMANDS.join(', ')}` : `did you mean ${guess}?`
  return `skein: ${JSON.stringify(written.slice(0, 100))} is not a command, ${hint}`
}
