// Runs the cases by hand against real daemons whose sockets are in the environment; `npm test` runs them in the lab (lab.test.ts).
// SKEIN_LAB_SOCKETS=/lab/n1/docker.sock,/lab/n2/docker.sock SKEIN_LAB_WORKER_SOCKETS=/lab/n4/docker.sock
// SKEIN_LAB_IMAGE=busybox:lab Every node must have the image, which contains `sh`. Cases that kill managers are left out here; the lab
// passes `harm` to runSwarmCases.

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
  process.stderr.write('SKEIN_LAB_SOCKETS is empty: expected paths of sockets\n')
  process.exitCode = 2
} else {
  for (const one of swarmCases) if (one.harms !== true) test(one.name, () => one.run(target))
}

test.run()
