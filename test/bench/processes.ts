// Starts the bench's processes, reads their cost from /proc, and ends them by process id with all descendants, also if the bench itself
// fails. CPU is utime + stime of a process and all its descendants, including threads. Spec: proc(5).

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const MICROSECONDS_PER_TICK = 1e6 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
const KILL_AFTER_MS = 8000

export interface Started {
  readonly pid: number
  /** The command line, for messages. */
  readonly what: string
  readonly logFile: string
  readonly child: ChildProcess
}

const running = new Set<Started>()
let ending = false

/** Starts a process with its output in `logFile`. It is ended with the bench. */
export function start(command: string, args: readonly string[], logFile: string, env: NodeJS.ProcessEnv = {}): Started {
  if (ending) throw new Error('the bench is ending')
  const log = openSync(logFile, 'w')
  const child = spawn(command, args, { stdio: ['ignore', log, log], env: { ...process.env, ...env } })
  closeSync(log)
  const pid = child.pid
  if (pid === undefined) throw new Error(`${command} could not be started: is it installed?`)
  const started = { pid, what: `${command} ${args[0] ?? ''}`, logFile, child }
  running.add(started)
  child.once('exit', () => running.delete(started))
  child.on('error', () => undefined)
  return started
}

/** Runs a process; resolves with its output. Throws if it fails. */
export async function runToEnd(command: string, args: readonly string[], logFile: string): Promise<string> {
  const { child } = start(command, args, logFile)
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  if (child.exitCode !== 0) throw new Error(`${command} failed (${child.signalCode ?? child.exitCode}):\n${tail(logFile)}`)
  return readFileSync(logFile, 'utf8')
}

/** Sends SIGTERM, and after 8 s SIGKILL, to the process tree; resolves when the process has ended. */
export async function end(started: Started): Promise<void> {
  if (started.child.exitCode !== null || started.child.signalCode !== null) return
  const tree = processTree(started.pid)
  const ended = once(started.child, 'exit')
  started.child.kill('SIGTERM')
  const timer = new AbortController()
  const late = sleep(KILL_AFTER_MS, 'late', { signal: timer.signal }).catch(() => 'in time')
  if ((await Promise.race([ended, late])) === 'late') for (const pid of [...tree].reverse()) kill(pid)
  timer.abort()
  await ended
}

/** Ends all processes; no process can be started afterwards. */
export async function endAll(): Promise<void> {
  ending = true
  await Promise.all([...running].map(end))
}

/** Kills all processes synchronously, for exit handlers. */
export function killAll(): void {
  for (const { pid } of running) for (const one of processTree(pid).reverse()) kill(one)
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // The process has ended meanwhile.
  }
}

/** CPU in microseconds that the process and its descendants have used so far. Resolution: one tick, usually 10 ms. */
export function cpuMicroseconds(pid: number): number {
  let ticks = 0
  for (const one of processTree(pid)) {
    const fields = statFields(one)
    if (fields !== null) ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks * MICROSECONDS_PER_TICK
}

/** Resident memory in MiB of the process and its descendants. */
export function rssMegabytes(pid: number): number {
  let kilobytes = 0
  for (const one of processTree(pid)) {
    try {
      kilobytes += Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${one}/status`, 'utf8'))?.[1] ?? 0)
    } catch {
      // The process has ended meanwhile.
    }
  }
  return kilobytes / 1024
}

/** The process and its descendants, parents first. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry)
    const fields = Number.isInteger(pid) ? statFields(pid) : null
    if (fields === null) continue
    const parent = Number(fields[1])
    const siblings = children.get(parent)
    if (siblings === undefined) children.set(parent, [pid])
    else siblings.push(pid)
  }
  const tree = [root]
  for (let i = 0; i < tree.length; i++) tree.push(...(children.get(tree[i]!) ?? []))
  return tree
}

/** The fields of /proc/PID/stat from the third (state) on; the second, the name, may contain spaces and brackets. */
function statFields(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}

/** The end of a log, for an error message. */
export function tail(logFile: string): string {
  return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-12).join('\n')
}

/** Creates a directory for this run. It and all processes are removed when this process ends, in any way. */
export function ownDirectory(prefix: string): string {
  const directory = mkdtempSync(join(tmpdir(), prefix))
  process.once('exit', () => {
    killAll()
    rmSync(directory, { recursive: true, force: true })
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => void endAll().finally(() => process.exit(1)))
  return directory
}
