// The CPU time of a process in nanoseconds, from the kernel's account of each thread, which is far more precise than the ticks of 10 ms
// in /proc/PID/stat. Spec: proc(5), sched-stats.rst (first field of schedstat).

import { readdirSync, readFileSync } from 'node:fs'
import { cpuMicroseconds } from './processes.ts'

/**
 * Microseconds of CPU that all threads of the process have used so far, user and system. It excludes threads that have ended, so it suits
 * processes with constant threads. If the kernel has no such account, the resolution is ticks (10 ms).
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
