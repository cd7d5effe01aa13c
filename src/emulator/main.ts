// Command line of the emulated swarm, for development: `node src/emulator/main.ts --port 2375 [--managers 3] [--speed 1]` serves
// the Docker API on that port of 127.0.0.1 (manager m1), 127.0.0.2 (m2) and so on, with one service.
// `docker -H tcp://127.0.0.1:2375 service ls` works with it.

import { parseArgs } from 'node:util'
import { createClock } from './clock.ts'
import { createEmulatedSwarm } from './swarm.ts'

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '2375' },
    managers: { type: 'string', default: '3' },
    workers: { type: 'string', default: '3' },
    speed: { type: 'string', default: '1' },
  },
})
const numbers = Object.entries(values).map(([name, value]) => [name, Number(value)] as const)
const wrong = numbers.find(([, value]) => !Number.isFinite(value) || value <= 0)
if (wrong !== undefined) {
  process.stderr.write(`--${wrong[0]}: expected a number above 0\n`)
  process.exit(2)
}
const { port = 0, managers = 3, workers = 3, speed = 1 } = Object.fromEntries(numbers)
const swarm = createEmulatedSwarm({ managers, workers, clock: createClock(speed), networks: { web: '127.42.0.0/16' } })
const endpoints = await swarm.listen({ port }).catch((error: Error) => error)
if (endpoints instanceof Error) {
  process.stderr.write(`cannot listen: ${endpoints.message}\n`)
  process.exit(1)
}
swarm.createService({ name: 'whoami', networks: ['web'], replicas: 2, labels: { 'traefik.port': '8000' } })
process.stdout.write(`emulated swarm: managers ${endpoints.managers.join(' ')}, workers ${endpoints.workers.join(' ')}\n`)
const stop = (): void => void swarm.close().then(() => process.exit(0))
process.on('SIGINT', stop)
process.on('SIGTERM', stop)
