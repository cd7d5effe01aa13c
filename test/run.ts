// `npm test`: runs every test file in a separate process with a time limit, and reports what passed, what failed and what was left
// out. The last line is `N passed, N failed`; the exit code is 0 only if nothing failed. With CI=true a test that is left out counts as
// failed. `npm test -- unit` runs one group; other arguments select files whose paths contain them.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type FileOutcome, readLeftOut, readOutcome } from './uvu-summary.ts'

interface Group {
  readonly name: string
  readonly files: string
  readonly atOnce: number
  /** Time limit of a whole file, many times its normal duration, because machines may be slow and busy. */
  readonly limitMs: number
  /** A script without uvu's summary, whose exit code is the result of one test. */
  readonly args?: readonly string[]
  /** Prints the file's output while it runs. */
  readonly live?: boolean
  /** The reason why the group cannot run on this machine, or null. */
  readonly lacks?: () => string | null
  /** Each file gets a network namespace of its own with loopback only, so that two files never compete for a port. */
  readonly ownNetwork?: boolean
}

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CI = process.env.CI === 'true' || process.env.CI === '1'
const MAX_OUTPUT = 1024 ** 2
/** Time in ms for clean-up after SIGTERM; the lab has to remove networks and daemons. */
const CLEAN_UP_MS = 30_000

/** Files at once in groups whose files may share the machine. */
const PAIR = Math.min(2, availableParallelism())
/** Network namespaces need Linux, root and two tools; without them integration files run one at a time. */
const canIsolate =
  process.platform === 'linux' && process.getuid?.() === 0 && isInstalled('unshare') && isInstalled('ip') && mayUnshare()

/**
 * Integration files that run with nothing beside them: they use both cores by themselves (floods, whole demos, builds), or their
 * assertions compare times with what the product promises. They run after the others.
 */
const ALONE: ReadonlySet<string> = new Set(
  [
    'bad-input-cluster-messages',
    'bad-input-shared-members',
    'build',
    'cluster-shell',
    'data-plane-auth-crowd',
    'data-plane-standstill',
    'data-plane-storm',
    'data-plane-uploads',
    'demo',
    'demo-page',
    'load-generator',
    'load-sessions',
  ].map(name => `test/integration/${name}.test.ts`),
)

const GROUPS: readonly Group[] = [
  { name: 'unit', files: 'test/unit/**/*.test.ts', atOnce: PAIR, limitMs: 240_000 },
  { name: 'simulation', files: 'test/simulation/**/*.test.ts', atOnce: PAIR, limitMs: 480_000 },
  {
    name: 'integration',
    files: 'test/integration/**/*.test.ts',
    atOnce: canIsolate ? PAIR : 1,
    limitMs: 480_000,
    ownNetwork: canIsolate,
  },
  { name: 'fuzz', files: 'test/fuzz/main.ts', atOnce: 1, limitMs: 480_000, args: ['--seconds', '5'] },
  { name: 'lab', files: 'test/swarm/*.test.ts', atOnce: 1, limitMs: 45 * 60_000, live: true, lacks: whatTheLabLacks },
]

/** Compiled code of Skein and its dependencies, shared by the many processes that tests start; removed at the end. */
const compileCache = mkdtempSync(join(tmpdir(), 'skein-test-cache-'))
process.on('exit', () => rmSync(compileCache, { recursive: true, force: true }))

const running = new Set<ChildProcess>()
const totals = { passed: 0, failed: 0 }
const leftOut: string[] = []

function whatTheLabLacks(): string | null {
  if (process.platform !== 'linux') return `it needs Linux, this is ${process.platform}`
  if (process.getuid?.() !== 0) return 'it needs root (network namespaces and Docker daemons)'
  const missing = ['dockerd', 'docker', 'ip', 'iptables', 'nsenter', 'redis-server'].filter(command => !isInstalled(command))
  return missing.length === 0 ? null : `it needs ${missing.join(', ')} (on Debian: docker.io iptables iproute2 redis-server)`
}

/** Containers may run as root and still not be allowed to make namespaces. */
function mayUnshare(): boolean {
  return spawnSync('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up'], { stdio: 'ignore' }).status === 0
}

function isInstalled(command: string): boolean {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].filter(directory => directory !== '')
  return directories.some(directory => globSync(`${directory}/${command}`).length > 0)
}

interface Run {
  readonly outcome: FileOutcome
  readonly output: string
  readonly seconds: string
}

function runFile(group: Group, file: string): Promise<Run> {
  const started = performance.now()
  // In its own process group, so that all its descendants can be found and ended by the group's id.
  const command = [process.execPath, file, ...(group.args ?? [])]
  if (group.ownNetwork === true) command.unshift('unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh')
  const child = spawn(command[0] as string, command.slice(1), {
    cwd: ROOT,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, NODE_COMPILE_CACHE: compileCache },
  })
  running.add(child)
  let output = ''
  const collect = (chunk: Buffer): void => {
    if (group.live === true) process.stdout.write(chunk)
    output += chunk.toString('utf8')
    // Only the end of a long output is kept, because the summary is there.
    if (output.length > 2 * MAX_OUTPUT) output = `[...]\n${output.slice(-MAX_OUTPUT)}`
  }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  return new Promise(resolve => {
    let timedOutMs: number | null = null
    let kill: NodeJS.Timeout | undefined
    const limit = setTimeout(() => {
      timedOutMs = group.limitMs
      signalGroup(child, 'SIGTERM')
      kill = setTimeout(() => signalGroup(child, 'SIGKILL'), group.live === true ? CLEAN_UP_MS : 1000)
    }, group.limitMs)
    child.once('error', error => collect(Buffer.from(`${error.message}\n`)))
    child.once('exit', (code, signal) => {
      clearTimeout(limit)
      clearTimeout(kill)
      // The file may have left children that hold its output open: they are ended first, then the output ends.
      const leftBehind = isGroupAlive(child)
      if (leftBehind) signalGroup(child, 'SIGKILL')
      const finish = (): void => {
        running.delete(child)
        const end = { output, code, signal, timedOutMs, leftBehind }
        const outcome = group.args === undefined ? readOutcome(end) : scriptOutcome(code, timedOutMs)
        resolve({ outcome, output, seconds: ((performance.now() - started) / 1000).toFixed(1) })
      }
      const patience = setTimeout(finish, 2000)
      child.once('close', () => {
        clearTimeout(patience)
        finish()
      })
    })
  })
}

function scriptOutcome(code: number | null, timedOutMs: number | null): FileOutcome {
  if (code === 0 && timedOutMs === null) return { passed: 1, failed: 0, skipped: 0, fault: null }
  const fault =
    timedOutMs === null ? `it ended with exit code ${code}` : `it took longer than ${timedOutMs / 1000} s and was ended`
  return { passed: 0, failed: 1, skipped: 0, fault }
}

/** Signals a child's whole process group; returns false if it has no process. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals | 0): boolean {
  if (child.pid === undefined) return false
  try {
    return process.kill(-child.pid, signal)
  } catch {
    return false
  }
}

/** Whether the group has a process that is not a zombie. */
function isGroupAlive(child: ChildProcess): boolean {
  if (process.platform !== 'linux') return signalGroup(child, 0)
  return globSync('/proc/[0-9]*/stat').some(path => {
    try {
      // The fields after the name, which may contain any character: state, parent, group.
      const [state, , group] = readFileSync(path, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ')
      return Number(group) === child.pid && state !== 'Z' && state !== 'X'
    } catch {
      return false
    }
  })
}

function report(file: string, { outcome, output, seconds }: Run, live: boolean): void {
  const { passed, failed, skipped, fault } = outcome
  totals.passed += passed
  totals.failed += failed
  const skips = skipped > 0 ? `, ${skipped} skipped` : ''
  console.log(
    `${failed > 0 ? 'FAIL' : 'ok  '} ${file}  ${passed} passed${failed > 0 ? `, ${failed} failed` : ''}${skips}  (${seconds} s)`,
  )
  if (failed > 0 && !live) console.log(output.replaceAll(/^/gm, '     | '))
  if (fault !== null) console.log(`     ${fault}`)
  if (skipped > 0) leave(`${skipped} in ${file}: skipped by the file`)
  for (const reason of readLeftOut(output)) leave(`${file}: ${reason}`)
}

function leave(what: string): void {
  leftOut.push(what)
  if (CI) totals.failed += 1
}

async function runGroup(group: Group, files: readonly string[]): Promise<void> {
  const lacking = group.lacks?.() ?? null
  if (lacking !== null) {
    leave(`${group.name} (${files.join(', ')}): ${lacking}`)
    return
  }
  await runFiles(
    group,
    files.filter(file => !ALONE.has(file)),
    group.atOnce,
  )
  await runFiles(
    group,
    files.filter(file => ALONE.has(file)),
    1,
  )
}

async function runFiles(group: Group, files: readonly string[], atOnce: number): Promise<void> {
  const waiting = [...files]
  const worker = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined && !stopping; file = waiting.shift()) {
      if (group.live === true) console.log(`     ${file} ...`)
      report(file, await runFile(group, file), group.live === true)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

let stopping = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    stopping = true
    for (const child of running) signalGroup(child, 'SIGTERM')
    setTimeout(() => {
      for (const child of running) signalGroup(child, 'SIGKILL')
    }, CLEAN_UP_MS).unref()
  })
}

const args = process.argv.slice(2)
const names = args.filter(argument => GROUPS.some(group => group.name === argument))
const filters = args.filter(argument => !names.includes(argument))
let chosen = 0
for (const group of GROUPS) {
  if (stopping || (names.length > 0 && !names.includes(group.name))) continue
  const all = globSync(group.files, { cwd: ROOT }).sort()
  const files = all.filter(file => filters.length === 0 || filters.some(filter => file.includes(filter.replace(/^\.\//, ''))))
  chosen += files.length
  if (files.length > 0) await runGroup(group, files)
}
if (stopping) {
  console.log('\naborted by a signal: not all tests were run')
  totals.failed += 1
} else if (chosen === 0) {
  console.log(`no test file matches ${args.length === 0 ? 'anything' : args.join(' ')}`)
  totals.failed += 1
}
if (leftOut.length > 0)
  console.log(`\nleft out${CI ? ' (with CI=true each counts as failed)' : ''}:\n${leftOut.map(line => `  ${line}`).join('\n')}`)
console.log(`\n${totals.passed} passed, ${totals.failed} failed`)
process.exitCode = totals.failed === 0 ? 0 : 1
