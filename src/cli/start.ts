// Helpers shared by all commands: the environment from which options are loaded, error reports, and running until a signal.

import { randomBytes } from 'node:crypto'
import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from 'node:fs'
import { availableParallelism, hostname } from 'node:os'
import type { OptionsEnvironment } from '../options/environment.ts'
import { type Loaded, loadOptions } from '../options/load.ts'
import type { Command } from '../options/spec.ts'
import { checkManagerTls } from '../providers/docker-api/client-tls.ts'
import type { Log } from '../util/log.ts'

export function optionsEnvironment(args: readonly string[]): OptionsEnvironment {
  return {
    args,
    env: process.env,
    hostname: hostname(),
    cores: availableParallelism(),
    // Linux without IPv6 lacks this file. Other platforms always have IPv6.
    hasIPv6: process.platform !== 'linux' || existsSync('/proc/net/if_inet6'),
    readText: readTextFile,
    pathKindOf,
    checkManagerTlsFiles: checkManagerTls,
    randomKey: () => randomBytes(32).toString('hex'),
  }
}

function pathKindOf(path: string): 'file' | 'directory' | 'other' {
  const found = statSync(path)
  const directory = found.isDirectory()
  accessSync(path, directory ? constants.R_OK | constants.X_OK : constants.R_OK)
  return directory ? 'directory' : found.isFile() ? 'file' : 'other'
}

/** Reads a file or a pipe of at most `maxBytes`. Throws like node:fs, or if it is larger. */
export function readTextFile(path: string, maxBytes: number): string {
  const file = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(maxBytes + 1)
    let length = 0
    while (length < buffer.length) {
      const read = readSync(file, buffer, length, buffer.length - length, null)
      if (read === 0) return buffer.toString('utf8', 0, length)
      length += read
    }
  } finally {
    closeSync(file)
  }
  throw new Error(`it is larger than ${maxBytes} bytes`)
}

/** The options of a command, or the exit code if the command ends here: 0 after `--help`, 2 after invalid options. */
export async function loadCommand(command: Command, environment: OptionsEnvironment): Promise<Loaded | number> {
  const loaded = loadOptions(command, environment)
  if (loaded === 'help') {
    const { commandHelp } = await import('../options/help.ts')
    process.stdout.write(`${commandHelp(command)}\n`)
    return 0
  }
  return loaded.ok ? loaded.value : reportErrors(command, loaded.errors, 2)
}

/** Writes one line for each error to the standard error; returns the exit code. */
export function reportErrors(command: Command, errors: readonly string[], code: number): number {
  for (const error of errors) process.stderr.write(`skein ${command}: ${error.replaceAll(/[\r\n]+/g, ' ')}\n`)
  return code
}

/**
 * Waits for SIGTERM or SIGINT, then stops and resolves to the exit code. A second signal ends the process at once. A signal before
 * `starting` has resolved takes effect after that.
 *
 * @param starting resolves to the function that stops what was started
 */
export async function runUntilSignal(
  starting: Promise<() => Promise<void>>,
  onSignal: (signal: string) => void,
): Promise<number> {
  let signals = 0
  const first = new Promise<void>(resolve => {
    for (const [signal, number] of [
      ['SIGTERM', 15],
      ['SIGINT', 2],
    ] as const) {
      process.on(signal, () => {
        signals += 1
        if (signals > 1) process.exit(128 + number)
        onSignal(signal)
        resolve()
      })
    }
  })
  const stop = await starting
  await first
  await stop()
  return 0
}

/** Logs why a command could not start and returns the exit code. Only unexpected errors get a stack; a taken port does not. */
export function logFatal(log: Log, error: unknown): number {
  const isExpected = error instanceof Error && error.constructor === Error
  log.fatal(isExpected ? {} : { err: error }, error instanceof Error ? error.message : String(error))
  return 1
}

/** Logs an uncaught error of this thread and ends the process, so that its supervisor starts a new one. */
export function exitOnUncaught(log: Log): void {
  const exit = (error: unknown): void => {
    log.fatal({ err: error }, 'internal error: Skein exits')
    process.exit(1)
  }
  process.on('uncaughtException', exit)
  process.on('unhandledRejection', exit)
}
