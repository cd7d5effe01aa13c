// `npm start`: an emulated swarm with three managers, three Skein replicas (child processes) in one cluster, sample services with
// Traefik v1 labels, and keys that break things. A constant self-check counts failed requests. All child processes and files are
// removed when the demo ends.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createEmulatedSwarm } from '../emulator/swarm.ts'
import { AdminPages } from './admin-pages.ts'
import { Fleet, readyWithinMs } from './fleet.ts'
import { instructions } from './instructions.ts'
import { Keys, listenToKeys } from './keys.ts'
import { Observer } from './observer.ts'
import { findUnavailableAddress } from './ports.ts'
import { Replica } from './replicas.ts'
import { SampleRunner, sampleNetwork, samplePort, sampleServices } from './samples.ts'
import { Screen } from './screen.ts'
import { SelfCheck } from './self-check.ts'

export interface DemoOptions {
  /** First of three ports for requests; default 8001. */
  readonly port?: number
  /**
   * First of three ports of the admin API; default 9001. The cluster's ports are 10 higher, those of relayed requests 20 higher.
   */
  readonly adminPort?: number
  /** Port of the emulated managers' Docker API, on 127.42.0.1 to 127.42.0.3; default 2375. */
  readonly managerPort?: number
  /** The demo ends after this time in seconds; default: never. */
  readonly seconds?: number
  /** Start only the emulated swarm and its services, without replicas. */
  readonly swarmOnly?: boolean
}

const replicaCount = 3
const checksPerSecond = 20
const addressPrefix = '127.42.0.'
const clusterPortsAbove = 10
const relayPortsAbove = 20

/** Runs until a signal, the key q or `seconds`; resolves with the exit code: 0, or 1 if it could not start. */
export async function runDemo(options: DemoOptions = {}): Promise<number> {
  const { port = 8001, adminPort = 9001, managerPort = 2375 } = options
  const plans = Array.from({ length: options.swarmOnly === true ? 0 : replicaCount }, (_, i) => ({
    name: `edge-${i + 1}`,
    webPort: port + i,
    adminPort: adminPort + i,
    clusterPort: adminPort + clusterPortsAbove + i,
    relayPort: adminPort + relayPortsAbove + i,
  }))
  const unavailable = await findUnavailableAddress([
    ...plans.map(plan => ({ host: '127.0.0.1', port: plan.webPort, what: `requests to ${plan.name}` })),
    ...plans.map(plan => ({ host: '127.0.0.1', port: plan.adminPort, what: `the admin API of ${plan.name}` })),
    ...plans.map(plan => ({ host: '127.0.0.1', port: plan.clusterPort, what: `the cluster port of ${plan.name}` })),
    ...plans.map(plan => ({ host: '127.0.0.1', port: plan.relayPort, what: `requests that peers relay to ${plan.name}` })),
    ...[1, 2, 3, 4, 5].map(i => ({ host: `${addressPrefix}${i}`, port: managerPort, what: `the emulated node ${i}` })),
    { host: '127.43.0.2', port: samplePort, what: 'the sample services' },
  ])
  if (unavailable !== null) {
    process.stderr.write(`${unavailable}; --port, --admin-port and --manager-port choose other ports\n`)
    return 1
  }
  const ended = waitForEnd(options.seconds)
  const dataDir = await mkdtemp(join(tmpdir(), 'skein-demo-'))
  const swarm = createEmulatedSwarm({
    workers: 2,
    dedicatedManagers: true,
    addressPrefix,
    networks: { [sampleNetwork]: '127.43.0.0/16' },
    runner: new SampleRunner(plans.map(({ name, webPort }) => ({ name, port: webPort }))),
  })
  const endpoints = await swarm.listen({ port: managerPort })
  for (const service of sampleServices) swarm.createService(service)
  const clusterPorts = plans.map(plan => plan.clusterPort)
  const secret = randomBytes(24).toString('base64')
  const onCrash = (name: string, lastLines: readonly string[]): void => {
    screen.event(`${name} ended unexpectedly:`)
    for (const line of lastLines) screen.print(`         ${line}`)
  }
  const pages = new AdminPages()
  const fleet = new Fleet(
    plans.map(plan => new Replica(plan, { managers: endpoints.managers, secret, clusterPorts, dataDir, onCrash })),
    pages,
  )
  const report = (line: string): void => screen.event(line)
  const check = new SelfCheck(
    fleet.replicas.map(replica => ({
      name: replica.plan.name,
      port: replica.plan.webPort,
      usable: () => fleet.serves(replica),
    })),
    report,
  )
  const observer = new Observer(
    fleet.replicas.map(replica => ({ ...replica.plan, alive: () => replica.alive })),
    pages,
    report,
  )
  const screen = new Screen(process.stdout, () => {
    const { ok, failed, cut } = check.counts
    const managers = swarm.nodes.filter(name => name.startsWith('m')).map(name => (name === swarm.leader() ? `${name}*` : name))
    const more = cut === 0 ? '' : `, ${cut} cut off when their replica was killed`
    const line = `self-check: ${ok} ok, ${failed} failed${more} | managers ${managers.join(' ')} (* leads)`
    return fleet.replicas.length === 0 ? [line] : [line, observer.cluster()]
  })
  screen.print('Skein demo: starting an emulated swarm, its services and three replicas ...')
  const started = performance.now()
  const missing = await Promise.race([
    Promise.all([fleet.launchAll(), swarm.settled()]).then(([missing]) => missing),
    ended.then(() => null),
  ])
  const failed = missing !== null && missing.length > 0
  if (failed) screen.print(`not ready within ${readyWithinMs / 1_000} s: ${missing.join(', ')}`)
  if (missing !== null && !failed) {
    screen.print(`ready after ${((performance.now() - started) / 1_000).toFixed(1)} s`)
    screen.print(instructions(plans, endpoints.managers, process.stdin.isTTY === true))
    if (fleet.replicas.length > 0) {
      check.start(checksPerSecond)
      observer.start()
      screen.startStatus()
    }
    const keys = new Keys({ swarm, fleet, observer, screen, end: ended.end })
    const release = listenToKeys(key => void keys.press(key))
    // Without a terminal, a script can kill and revive the leading manager with this signal.
    const toggleManager = (): void => void keys.press('m')
    process.on('SIGUSR2', toggleManager)
    await ended
    process.off('SIGUSR2', toggleManager)
    release()
  }
  screen.stopStatus()
  await check.stop()
  await observer.stop()
  await fleet.stop()
  await pages.close()
  await swarm.close()
  await rm(dataDir, { recursive: true, force: true })
  return failed ? 1 : 0
}

/** Resolves on SIGINT, SIGTERM or SIGHUP, after `seconds`, when `end` is called, or when the npm process that started the demo has ended. */
function waitForEnd(seconds: number | undefined): Promise<void> & { end: () => void } {
  let end = (): void => {}
  const promise = new Promise<void>(resolve => {
    const timer = seconds === undefined ? undefined : setTimeout(resolve, seconds * 1_000)
    // A signal to npm alone ends npm and the shell in between, without a signal to this process.
    const parent = process.ppid
    const orphaned = (): void => {
      if (process.ppid !== parent) end()
    }
    const watch = process.env.npm_lifecycle_event === undefined ? undefined : setInterval(orphaned, 500)
    watch?.unref()
    end = (): void => {
      clearTimeout(timer)
      clearInterval(watch)
      resolve()
    }
    process.once('SIGINT', end)
    process.once('SIGTERM', end)
    process.once('SIGHUP', end)
    // The reader of a pipe has ended: `npm start | head`.
    process.stdout.on('error', end)
  })
  return Object.assign(promise, { end })
}
