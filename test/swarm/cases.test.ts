// The cases of test/swarm/cases against real daemons, where the environment names their sockets (a lab that is up):
// SKEIN_LAB_SOCKETS=/lab/n1/docker.sock,/lab/n2/docker.sock SKEIN_LAB_WORKER_SOCKETS=/lab/n4/docker.sock
// SKEIN_LAB_IMAGE=busybox:lab Every node must have the image, with `sh` in it. Without the first variable the test says that it
// was left out. Killing managers is left to the lab's own scenarios, which may hand `harm` to runSwarmCases.

import { test } from 'uvu'
import { swarmCases } from './cases/cases.ts'
import type { SwarmTarget } from './cases/target.ts'

const list = (name: string): readonly string[] => (process.env[name] ?? '').split(',').filter(path => path !== '')

const target: SwarmTarget = {
  managers: list('SKEIN_LAB_SOCKETS').map(path => `unix://${path}`),
  workers: list('SKEIN_LAB_WORKER_SOCKETS').map(path => `unix://${path}`),
  speed: 1,
  image: process.env.SKEIN_LAB_IMAGE ?? 'busybox',
  command: ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.1; done'],
}

if (target.managers.length === 0) {
  process.stdout.write('left out: no real swarm is named by SKEIN_LAB_SOCKETS\n')
} else {
  for (const one of swarmCases) if (one.harms !== true) test(one.name, () => one.run(target))
}

test.run()
