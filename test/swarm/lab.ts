// `npm run lab -- up | deploy | status | logs | down`: a real Docker Swarm of three managers and three edge nodes on this machine,
// with Skein's stack on it. `down` ends everything that was started, including the remains of an aborted run. Usage: docs/chaos.md.

import { existsSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { messageOf } from './command.ts'
import { answers, docker } from './docker.ts'
import { logFile } from './engine.ts'
import { processesOf } from './groups.ts'
import { withLock } from './lock.ts'
import { outerExists } from './network.ts'
import { asStore, deployedStore, deployStack, edgeHealth, STACK, type Store } from './stack.ts'
import { anyManager } from './swarm.ts'
import { LAB_DIR, NODES, nodeNamed, OUTER } from './topology.ts'
import { down, isUp, refreshImages, step, up } from './up.ts'

const USAGE = `npm run lab -- COMMAND
  up            build images, start six engines in namespaces of their own, form the swarm, deploy the stack
  deploy        build Skein's image again from this checkout and roll it out
                both: --store redis deploys Redis beside it (deploy/redis.yml), --store gossip takes it away
  status        what runs
  logs [NAME]   logs of the stack's service NAME (edge, managers), or of the engine of node NAME (m1 ... e3)
  down          end and remove everything
  docker ...    the docker command on the first manager that answers`

/** null: not given. */
function storeFrom(args: readonly string[]): Store | null {
  const { values } = parseArgs({ args: [...args], options: { store: { type: 'string' } } })
  return values.store === undefined ? null : asStore(values.store)
}

async function status(): Promise<void> {
  console.log(
    `lab: ${isUp() ? 'up' : outerExists() ? 'partly up' : 'down'}; ${LAB_DIR}; namespace ${OUTER}; store ${deployedStore()}`,
  )
  for (const node of NODES) {
    const state = (await answers(node)) ? 'answers' : 'does not answer'
    console.log(`${node.name}  ${node.address.padEnd(10)}  ${state}, ${processesOf(node.name).length} processes  ${node.socket}`)
  }
  if (!isUp()) return
  console.log(await anyManager(manager => docker(manager, ['service', 'ls']), undefined, 5000))
  for (const [edge, health] of Object.entries(await edgeHealth())) console.log(`${edge}  ${health}`)
}

async function logs(name: string | undefined): Promise<void> {
  if (name !== undefined && NODES.some(node => node.name === name)) {
    const file = logFile(nodeNamed(name))
    console.log(existsSync(file) ? readFileSync(file, 'utf8') : `no ${file}`)
    return
  }
  const services = name === undefined ? ['managers', 'edge'] : [name]
  for (const service of services) {
    console.log(
      await anyManager(manager => docker(manager, ['service', 'logs', '--raw', '--tail', '200', `${STACK}_${service}`])),
    )
  }
}

async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args
  switch (command) {
    case 'up':
      await withLock(async () => {
        const store = storeFrom(rest) ?? 'gossip'
        await up()
        await step('stack', () => deployStack(store))
      })
      return 0
    case 'deploy':
      if (!isUp()) throw new Error('the lab is not up: npm run lab -- up')
      await withLock(async () => {
        const store = storeFrom(rest) ?? deployedStore()
        await refreshImages()
        await step('stack', () => deployStack(store))
      })
      return 0
    case 'status':
      await status()
      return 0
    case 'logs':
      await logs(rest[0])
      return 0
    case 'down':
      await withLock(() => step('down', down))
      return 0
    case 'docker':
      process.stdout.write(await anyManager(manager => docker(manager, rest), undefined, 1000))
      return 0
    default:
      console.error(USAGE)
      return 2
  }
}

main(process.argv.slice(2)).then(
  code => {
    process.exitCode = code
  },
  (error: unknown) => {
    console.error(`lab: ${messageOf(error)}`)
    process.exitCode = 1
  },
)
