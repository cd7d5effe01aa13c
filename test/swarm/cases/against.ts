// By hand: the cases against real daemons whose sockets the environment names. `npm test` runs them in the lab (lab.test.ts).
// SKEIN_LAB_SOCKETS=/lab/n1/docker.sock,/lab/n2/docker.sock SKEIN_LAB_WORKER_SOCKETS=/lab/n4/docker.sock
// SKEIN_LAB_IMAGE=busybox:lab Every node must have the image, with `sh` in it. Killing managers is left to the lab's own
// scenarios, which may hand `harm` to runSwarmCases.

import { test } from 'uvu'
import { swarmCases } from './cases.ts'
import type { SwarmTarget } from './target.ts'

const list = (name: string): readonly string[] => (process.env[name] ?? '').split(',').filter(path => path !== '')

const target: SwarmTarget = {
  managers: list('SKEIN_LAB_SOCKETS').map(path => `unix://${path}`),
  workers: list('SKEIN_LAB_WORKER_SOCKETS').map(path => `unix://${path}`),
  speed: 1,
  image: process.env.SKEIN_LAB_IMAGE ?? 'busybox',
  command: ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.1; done'],
}

if (target.managers.length === 0) {
  process.stderr.write('SKEIN_LAB_SOCKETS names no socket\n')
  process.exitCode = 2
} else {
  for (const one of swarmCases) if (one.harms !== true) test(one.name, () => one.run(target))
}

test.run()
