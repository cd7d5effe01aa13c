// `npm start`: an emulated swarm of three managers, three Skein replicas as processes of their own, sample services with
// Traefik v1 labels, and keys that break things while a steady self-check shows that nothing is lost. Everything it starts ends
// with it.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent } from 'undici'
import { createEmulatedSwarm, type EmulatedSwarm } from './emulator/swarm.ts'
import { instructions, keyHelp } from './instructions.ts'
import { Observer } from './observer.ts'
import { findTrouble } from './ports.ts'
import { Replica } from './replicas.ts'
import { SampleRunner, sampleNetwork, samplePort, sampleServices } from './samples.ts'
import { Screen } from './screen.ts'
import { ask, SelfCheck } from './self-check.ts'

export interface DemoOptions {
  /** First of three ports for requests; default 8001. */
  readonly port?: number
  /** First of three ports of the admin API; default 9001. */
  readonly adminPort?: number
  /** Port of the emulated managers' Docker API, on 127.42.0.1 to 127.42.0.3; default 2375. */
  readonly managerPort?: number
  /** End by itself after so many seconds; default: never. */
  readonly seconds?: number
  /** The emulated swarm and its services only, without replicas. */
  readonly swarmOnly?: boolean
}

const replicaCount = 3
const readyWithinMs = 15_000
const checksPerSecond = 20
const addressPrefix = '127.42.0.'
// While replicas know nothing of each other, each picks a manager by its own name alone; with these identifiers the three pick
// three.
const nodeIdSeed = 'skein-demo-2'

/** Runs until a signal, the key q or `seconds`; resolves with the exit code: 0, or 1 when it could not start. */
export async function runDemo(options: DemoOptions = {}): Promise<number> {
  const { port = 8001, adminPort = 9001, managerPort = 2375 } = options
  const plans = Array.from({ length: options.swarmOnly === true ? 0 : replicaCount }, (_, i) => ({
    name: `edge-${i + 1}`,
    webPort: port + i,
    adminPort: adminPort + i,
  }))
  const trouble = await findTrouble([
    ...plans.map(plan => ({ host: '127.0.0.1', port: plan.webPort, what: `requests to ${plan.name}` })),
    ...plans.map(plan => ({ host: '127.0.0.1', port: plan.adminPort, what: `the admin API of ${plan.name}` })),
    ...[1, 2, 3, 4, 5].map(i => ({ host: `${addressPrefix}${i}`, port: managerPort, what: `the emulated node ${i}` })),
    { host: '127.43.0.2', port: samplePort, what: 'the sample services' },
  ])
  if (trouble !== null) {
    process.stderr.write(`${trouble}; --port, --admin-port and --manager-port choose others\n`)
    return 1
  }
  const ended = waitForEnd(options.seconds)
  const dataDir = await mkdtemp(join(tmpdir(), 'skein-demo-'))
  const swarm = createEmulatedSwarm({
    workers: 2,
    dedicatedManagers: true,
    addressPrefix,
    nodeIdSeed,
    networks: { [sampleNetwork]: '127.43.0.0/16' },
    runner: new SampleRunner(),
  })
  const endpoints = await swarm.listen({ port: managerPort })
  for (const service of sampleServices) swarm.createService(service)
  const secret = randomBytes(24).toString('base64')
  const onCrash = (name: string, words: readonly string[]): void => {
    screen.tell(`${name} ended by itself:`)
    for (const line of words) screen.print(`         ${line}`)
  }
  const replicas = plans.map(plan => new Replica(plan, { managers: endpoints.managers, secret, dataDir, onCrash }))
  const check = new SelfCheck(
    replicas.map(replica => ({
      name: replica.plan.name,
      port: replica.plan.webPort,
      usable: () => replica.alive && ready.has(replica),
    })),
    line => screen.tell(line),
  )
  const ready = new Set<Replica>()
  const observer = new Observer(
    replicas.map(replica => ({ name: replica.plan.name, adminPort: replica.plan.adminPort, alive: () => replica.alive })),
    line => screen.tell(line),
  )
  const screen = new Screen(process.stdout, () => {
    const { ok, failed, cut } = check.counts
    const managers = swarm.nodes.filter(name => name.startsWith('m')).map(name => (name === swarm.leader() ? `${name}*` : name))
    const more = cut === 0 ? '' : `, ${cut} cut off with their replica`
    return `self-check: ${ok} ok, ${failed} failed${more} | managers ${managers.join(' ')} (* leads)`
  })
  const launch = async (replica: Replica): Promise<boolean> => {
    replica.start()
    const up = await untilServing(replica, readyWithinMs)
    if (up) ready.add(replica)
    return up
  }
  screen.print('Skein demo: starting an emulated swarm, four services and three replicas ...')
  const started = performance.now()
  const up = await Promise.race([
    Promise.all([swarm.settled(), ...replicas.map(launch)]).then(all => all.slice(1)),
    ended.then(() => null),
  ])
  const failed = up?.includes(false) === true
  if (failed)
    screen.print(
      `not ready within ${readyWithinMs / 1_000} s: ${replicas
        .filter(one => !ready.has(one))
        .map(one => one.plan.name)
        .join(', ')}`,
    )
  if (up !== null && !failed) {
    screen.print(`ready after ${((performance.now() - started) / 1_000).toFixed(1)} s`)
    screen.print(instructions(plans, endpoints.managers, process.stdin.isTTY === true))
    if (replicas.length > 0) {
      check.start(checksPerSecond)
      observer.start()
      screen.startStatus()
    }
    const keys = listenToKeys(key => void press(key, swarm, replicas, ready, launch, screen, observer, ended.end))
    // Where there is no terminal, a script can still kill (and revive) the leading manager.
    const harm = (): void => void killOrRevive('m', swarm, screen)
    process.on('SIGUSR2', harm)
    await ended
    process.off('SIGUSR2', harm)
    keys()
  }
  screen.stopStatus()
  await check.stop()
  await observer.stop()
  await Promise.all(replicas.map(replica => replica.stop()))
  await swarm.close()
  await rm(dataDir, { recursive: true, force: true })
  return failed ? 1 : 0
}

/** True once the replica answers for whoami. */
async function untilServing(replica: Replica, withinMs: number): Promise<boolean> {
  const agent = new Agent({ headersTimeout: 1_000 })
  const deadline = performance.now() + withinMs
  try {
    while (performance.now() < deadline && replica.alive) {
      if ((await ask(agent, replica.plan.webPort, 'whoami.localhost')) === 200) return true
      await new Promise(resolve => {
        setTimeout(resolve, 100)
      })
    }
    return false
  } finally {
    await agent.destroy()
  }
}

async function press(
  key: string,
  swarm: EmulatedSwarm,
  replicas: readonly Replica[],
  ready: Set<Replica>,
  launch: (replica: Replica) => Promise<boolean>,
  screen: Screen,
  observer: Observer,
  end: () => void,
): Promise<void> {
  const replica = replicas[Number(key) - 1]
  if (key === 'q' || key === '\u0003') return end()
  if (replica !== undefined) {
    if (replica.alive) {
      ready.delete(replica)
      replica.kill()
      return screen.tell(`${replica.plan.name} killed (press ${key} to start it again)`)
    }
    screen.tell(`${replica.plan.name} starting`)
    return screen.tell((await launch(replica)) ? `${replica.plan.name} serves` : `${replica.plan.name} does not serve`)
  }
  if (key === 'm' || key === 'f') return killOrRevive(key, swarm, screen)
  if (key === 'r') {
    swarm.roll('whoami')
    return screen.tell('rolling whoami, one task after another; each dies at once on SIGTERM')
  }
  if (key === '+' || key === '-') {
    const count = Math.max(1, Math.min(8, swarm.tasks('whoami').length + (key === '+' ? 1 : -1)))
    swarm.scale('whoami', count)
    return screen.tell(`whoami scaled to ${count}`)
  }
  if (key === 's') for (const line of observer.summary()) screen.tell(line)
  else screen.print(keyHelp)
}

/** The leader (m) or a follower (f) dies; if one is dead already it comes back. */
async function killOrRevive(key: 'm' | 'f', swarm: EmulatedSwarm, screen: Screen): Promise<void> {
  const dead = swarm.managerStates().find(manager => manager.state === 'down')
  if (dead !== undefined) {
    await swarm.reviveManager(dead.name)
    return screen.tell(`manager ${dead.name} is back`)
  }
  const leader = swarm.leader()
  const victim =
    key === 'm' ? leader : swarm.managerStates().find(manager => manager.state === 'up' && manager.name !== leader)?.name
  if (victim === null || victim === undefined) return screen.tell('the managers are electing a leader; try again in a moment')
  await swarm.killManager(victim)
  screen.tell(
    key === 'm'
      ? `manager ${victim}, the leader, killed: for 10 s no manager answers, and requests go on (press m to revive it)`
      : `manager ${victim}, a follower, killed: its replica moves to another (press f to revive it)`,
  )
}

/** Resolves on SIGINT, SIGTERM, after `seconds`, or by `end`. */
function waitForEnd(seconds: number | undefined): Promise<void> & { end: () => void } {
  let end = (): void => {}
  const promise = new Promise<void>(resolve => {
    const timer = seconds === undefined ? undefined : setTimeout(resolve, seconds * 1_000)
    end = (): void => {
      clearTimeout(timer)
      resolve()
    }
    process.once('SIGINT', end)
    process.once('SIGTERM', end)
    process.once('SIGHUP', end)
  })
  return Object.assign(promise, { end })
}

/** Single keys, where there is a terminal; returns what ends it. */
function listenToKeys(pressed: (key: string) => void): () => void {
  const { stdin } = process
  if (stdin.isTTY !== true) return () => {}
  const read = (chunk: Buffer): void => {
    for (const key of chunk.toString('utf8')) pressed(key)
  }
  stdin.setRawMode(true)
  stdin.on('data', read)
  stdin.resume()
  return () => {
    stdin.off('data', read)
    stdin.setRawMode(false)
    stdin.pause()
  }
}
