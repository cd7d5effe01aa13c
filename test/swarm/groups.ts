// All processes of the lab are in the lab's control groups: daemons, their children, containers and load generators. The kernel
// maintains that list, so it is correct after an aborted run, and never contains a process that reuses the id of a dead one. Works
// with control groups v1 (one hierarchy per controller) and v2 (one hierarchy).

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../until.ts'
import { CGROUP } from './topology.ts'

const MOUNT = '/sys/fs/cgroup'
const UNIFIED = existsSync(join(MOUNT, 'cgroup.controllers'))
/** The hierarchy in which processes are listed. */
const ROOT = UNIFIED ? MOUNT : join(MOUNT, 'pids')

/** The group of a node's daemon and its children; containers are in sibling groups below the node's name. */
export function daemonGroup(node: string): string {
  return join(ROOT, CGROUP, node, 'daemon')
}

/** The value of dockerd's --cgroup-parent. */
export function containerParent(node: string): string {
  return `/${CGROUP}/${node}`
}

/** The group of processes that belong to no node: the load generator. */
export function toolGroup(): string {
  return join(ROOT, CGROUP, 'tools')
}

/** Shell text that moves the shell into the group; its later commands and their children stay there. */
export function enterGroup(group: string): string {
  mkdirSync(group, { recursive: true })
  return `echo $$ > '${group}/cgroup.procs'`
}

/**
 * Gives the lab's group the CPU weight of one process per node. Otherwise all containers together would get as much CPU time as one
 * process of this machine, and a load generator or a test would starve all six nodes.
 */
export function weighGroups(nodes: number): void {
  const group = join(UNIFIED ? MOUNT : join(MOUNT, 'cpu'), CGROUP)
  if (!UNIFIED && !existsSync(join(MOUNT, 'cpu'))) return
  mkdirSync(group, { recursive: true })
  const file = join(group, UNIFIED ? 'cpu.weight' : 'cpu.shares')
  // With control groups v2 the file exists only if the controller is enabled.
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

/** Process ids in a group and its subgroups; none if the group does not exist. */
export function processesIn(path: string): number[] {
  const pids: number[] = []
  for (const dir of tree(path)) {
    try {
      for (const line of readFileSync(join(dir, 'cgroup.procs'), 'utf8').split('\n')) if (line !== '') pids.push(Number(line))
    } catch {
      // The group was removed between listing and reading.
    }
  }
  return pids
}

/** All processes of a node, or with null of the whole lab. */
export function processesOf(node: string | null): number[] {
  return processesIn(node === null ? join(ROOT, CGROUP) : join(ROOT, CGROUP, node))
}

/** Kills all processes of a node, or with null of the whole lab, repeatedly until none is left. */
export async function endAll(node: string | null): Promise<void> {
  await until(
    `the processes of ${node ?? 'the lab'} to end`,
    () => {
      const pids = processesOf(node).filter(pid => pid !== process.pid)
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // The process has ended meanwhile.
        }
      }
      return pids.length === 0
    },
    30_000,
    { everyMs: 20 },
  )
}

/** Removes the empty groups of a node, or with null of the whole lab, from every hierarchy. */
export function removeGroups(node: string | null): void {
  const hierarchies = UNIFIED ? [MOUNT] : readdirSync(MOUNT).map(name => join(MOUNT, name))
  for (const hierarchy of hierarchies) {
    const top = node === null ? join(hierarchy, CGROUP) : join(hierarchy, CGROUP, node)
    for (const dir of tree(top).reverse()) {
      try {
        rmdirSync(dir)
      } catch {
        // The kernel may need some time after the last process; an empty group is harmless.
      }
    }
  }
}
