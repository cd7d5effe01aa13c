// What commands have in common: the optionsEnvironment that options are loaded from, how mistakes and defects are told, and life until
// a signal.

import { randomBytes } from 'node:crypto'
import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from 'node:fs'
import { availableParallelism, hostname } from 'node:os'
import { type Loaded, loadOptions, type OptionsEnvironment } from '../options/load.ts'
import type { Command } from '../options/spec.ts'
import { checkManagerTls } from '../providers/docker-api/client-tls.ts'
import type { Log } from '../util/log.ts'

export function optionsEnvironment(args: readonly string[]): OptionsEnvironment {
  return {
    args,
    env: process.env,
    hostname: hostname(),
    cores: availableParallelism(),
    // Linux without IPv6 has no such file; elsewhere IPv6 can be taken for granted.
    hasIPv6: process.platform !== 'linux' || existsSync('/proc/net/if_inet6'),
    readText: readBounded,
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

/** Reads a file (or a pipe) of at most so many bytes; throws as node:fs does, or when there is more. */
export function readBounded(path: string, maxBytes: number): string {
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

/** Options of a command, or the exit code when there is nothing more to do: 0 after help, 2 after a mistake. */
export async function loadCommand(command: Command, around: OptionsEnvironment): Promise<Loaded | number> {
  const loaded = loadOptions(command, around)
  if (loaded === 'help') {
    const { commandHelp } = await import('../options/help.ts')
    process.stdout.write(`${commandHelp(command)}\n`)
    return 0
  }
  return loaded.ok ? loaded.value : reportErrors(command, loaded.errors, 2)
}

/** One line for each mistake on the standard error; returns the exit code. */
export function reportErrors(command: Command, errors: readonly string[], code: number): number {
  for (const error of errors) process.stderr.write(`skein ${command}: ${error.replaceAll(/[\r\n]+/g, ' ')}\n`)
  return code
}

/**
 * Runs something until SIGTERM or SIGINT; then stops it and resolves to the exit code. A second signal ends the process at once.
 * Signals that come before it has started are kept until it has.
 */
export async function runUntilSignal(stop: Promise<() => Promise<void>>, told: (signal: string) => void): Promise<number> {
  let signals = 0
  const first = new Promise<void>(resolve => {
    for (const [signal, number] of [
      ['SIGTERM', 15],
      ['SIGINT', 2],
    ] as const) {
      process.on(signal, () => {
        signals += 1
        if (signals > 1) process.exit(128 + number)
        told(signal)
        resolve()
      })
    }
  })
  const end = await stop
  await first
  await end()
  return 0
}

/** What kept it from starting. A taken port is told in its message; only a defect needs the stack. Returns the exit code. */
export function logFatal(log: Log, error: unknown): number {
  const plain = error instanceof Error && error.constructor === Error
  log.fatal(plain ? {} : { err: error }, error instanceof Error ? error.message : String(error))
  return 1
}

/** A defect in the control thread is told and ends the process, so that whoever supervises it starts a sound one. */
export function exitOnUncaught(log: Log): void {
  const die = (error: unknown): void => {
    log.fatal({ err: error }, 'a defect in Skein ends this process')
    process.exit(1)
  }
  process.on('uncaughtException', die)
  process.on('unhandledRejection', die)
}
