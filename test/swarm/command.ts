// Runs the commands of the lab.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export interface CommandOptions {
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Standard error is part of the result. */
  readonly both?: boolean
  /** Kills the command after this time in ms; default two minutes. */
  readonly timeoutMs?: number
}

const OUTPUT_LIMIT = 4 * 1024 * 1024

/**
 * Runs a command without a shell; resolves with its standard output. @throws with its error output if it fails
 */
export function run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    })
    let out = ''
    let err = ''
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 120_000)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (out.length < OUTPUT_LIMIT) out += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err = (err + text).slice(-8000)
      if (options.both && out.length < OUTPUT_LIMIT) out += text
    })
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')
    child.on('error', error => {
      clearTimeout(timer)
      reject(new Error(`${command}: ${error.message}`))
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (code === 0) resolve(out)
      else reject(new Error(`${command} ${args.join(' ')}: ${signal ?? `exit code ${code}`}\n${err.trim()}`))
    })
  })
}

/** Whether a command can be found. */
export function isInstalled(command: string): boolean {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return directories.some(directory => directory !== '' && existsSync(join(directory, command)))
}

/** The text of a thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Runs `work` for every item, at most `width` at a time. Throws the first failure once the running calls have ended. */
export async function eachOf<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  const lane = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item)
  }
  const ended = await Promise.allSettled(Array.from({ length: Math.min(width, items.length) }, lane))
  const failed = ended.find(result => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
