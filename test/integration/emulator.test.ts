// The cases of a real swarm (test/swarm/cases), run against the emulated swarm at eight times the speed.

import { test } from 'uvu'
import { createClock } from '../../src/emulator/clock.ts'
import { createEmulatedSwarm } from '../../src/emulator/swarm.ts'
import { swarmCases } from '../swarm/cases/cases.ts'
import type { SwarmTarget } from '../swarm/cases/target.ts'

const speed = 8

for (const one of swarmCases) {
  test(one.name, async () => {
    const swarm = createEmulatedSwarm({ clock: createClock(speed) })
    const endpoints = await swarm.listen()
    const nameOf = (endpoint: string): string =>
      swarm.nodes[[...endpoints.managers, ...endpoints.workers].indexOf(endpoint)] ?? ''
    const target: SwarmTarget = {
      ...endpoints,
      speed,
      image: 'emulated',
      command: [],
      harm: { kill: endpoint => swarm.killManager(nameOf(endpoint)), revive: endpoint => swarm.reviveManager(nameOf(endpoint)) },
    }
    try {
      await one.run(target)
    } finally {
      await swarm.close()
    }
  })
}

test.run()
