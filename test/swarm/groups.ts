// Every process of the lab lives in a control group of the lab's own: daemons, their children, containers and load generators.
// The kernel keeps that list, so it is right even after a run was cut off, and it cannot name a process that took over a dead
// one's number. Works with control groups v1 (one hierarchy per controller) and v2 (one for all).

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../until.ts'
import { CGROUP } from './topology.ts'

const MOUNT = '/sys/fs/cgroup'
const UNIFIED = existsSync(join(MOUNT, 'cgroup.controllers'))
/** The hierarchy that we list processes by. */
const ROOT = UNIFIED ? MOUNT : join(MOUNT, 'pids')

/** Group of a node's daemon and its children; containers are beside it, under the node's name. */
export function daemonGroup(node: string): string {
  return join(ROOT, CGROUP, node, 'daemon')
}

/** What dockerd is given as --cgroup-parent. */
export function containerParent(node: string): string {
  return `/${CGROUP}/${node}`
}

/** Group of what is nobody's node: the load generator. */
export function toolGroup(): string {
  return join(ROOT, CGROUP, 'tools')
}

/** Shell text that moves the shell into the group; what it then executes, and every child of that, stays there. */
export function enterGroup(group: string): string {
  mkdirSync(group, { recursive: true })
  return `echo $$ > '${group}/cgroup.procs'`
}

/**
 * Gives the lab's group the weight of as many processes as it has nodes. Otherwise the containers of all nodes together would get
 * no more time than any one process of this machine: a load generator or a test beside them would starve six machines at once.
 */
export function weighGroups(nodes: number): void {
  const group = join(UNIFIED ? MOUNT : join(MOUNT, 'cpu'), CGROUP)
  if (!UNIFIED && !existsSync(join(MOUNT, 'cpu'))) return
  mkdirSync(group, { recursive: true })
  const file = join(group, UNIFIED ? 'cpu.weight' : 'cpu.shares')
  // with control groups v2 the file is there only where the controller is switched on
  if (existsSync(file)) writeFileSync(file, `${nodes * (UNIFIED ? 100 : 1024)}`)
}

function tree(dir: string): string[] {
  if (!existsSync(dir)) return []
  const dirs = [dir]
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) dirs.push(...tree(join(dir, entry.name)))
  }
  return dirs
}

/** Process ids in a group and all below it. A group that is gone has none. */
export function processesIn(path: string): number[] {
  const pids: number[] = []
  for (const dir of tree(path)) {
    try {
      for (const line of readFileSync(join(dir, 'cgroup.procs'), 'utf8').split('\n')) if (line !== '') pids.push(Number(line))
    } catch {
      // removed between listing and reading
    }
  }
  return pids
}

/** All processes of a node, or of the whole lab. */
export function processesOf(node: string | null): number[] {
  return processesIn(node === null ? join(ROOT, CGROUP) : join(ROOT, CGROUP, node))
}

/** SIGKILLs all processes of a node (or of the whole lab), and what they start meanwhile, until none is left. */
export async function endAll(node: string | null): Promise<void> {
  await until(
    `the processes of ${node ?? 'the lab'} to end`,
    () => {
      const pids = processesOf(node).filter(pid => pid !== process.pid)
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // ended by itself
        }
      }
      return pids.length === 0
    },
    30_000,
    { everyMs: 20 },
  )
}

/** Removes a node's (or all of the lab's) empty groups from every hierarchy. */
export function removeGroups(node: string | null): void {
  const hierarchies = UNIFIED ? [MOUNT] : readdirSync(MOUNT).map(name => join(MOUNT, name))
  for (const hierarchy of hierarchies) {
    const top = node === null ? join(hierarchy, CGROUP) : join(hierarchy, CGROUP, node)
    for (const dir of tree(top).reverse()) {
      try {
        rmdirSync(dir)
      } catch {
        // the kernel may need a moment after the last process; an empty group is no harm
      }
    }
  }
}
