// What a process has used of the CPU, in nanoseconds: the kernel's own account of each of its threads, far finer than the ticks
// of 10 ms in /proc/PID/stat. Spec: proc(5), sched-stats.rst (first field of schedstat).

import { readdirSync, readFileSync } from 'node:fs'
import { cpuMicroseconds } from './processes.ts'

/**
 * Microseconds of CPU that all threads of the process have used so far, user and system. Threads that have ended are not in it:
 * for processes whose threads stay. Where the kernel keeps no such account, ticks (10 ms).
 */
export function threadsMicroseconds(pid: number): number {
  let nanoseconds = 0
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
    }
  } catch {
    return cpuMicroseconds(pid)
  }
  return nanoseconds / 1000
}
