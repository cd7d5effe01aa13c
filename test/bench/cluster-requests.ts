// Measures the CPU cost of a request through a replica without a cluster, through a member of a cluster, and through a member that
// cannot reach the service and relays it to one that can (the CPU of all members together). All run at the same time and are loaded in
// turn, so that changes of the machine's load affect all of them.

import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import type { Case } from './cases.ts'
import { createNamespace, type Namespace } from './cluster-namespace.ts'
import type { Progress } from './cluster-parts.ts'
import { type BenchReplica, LOOPBACK, BenchReplica as Replicas, settled, startAll } from './cluster-replicas.ts'
import { startFakeSwarm } from './fake-swarm.ts'
import { wrk } from './load.ts'
import { startBackend } from './nginx.ts'
import { cpuMicroseconds, end } from './processes.ts'

const HOST = 's0.bench.test'
const SHAPE: Case = {
  name: 'cluster-requests',
  title: 'GET, 1 KiB',
  services: 1,
  serversEach: 3,
  load: { connections: 64, method: 'GET', path: '/1k', bodyBytes: 0, closeEach: false },
}

export interface RequestCosts {
  /** Microseconds of CPU per request, one value for each round. */
  readonly off: number[]
  readonly on: number[]
  readonly relayed: number[]
  /** The reason why nothing was relayed. */
  readonly notRelayed: string | null
  readonly errors: number
}

export interface RequestPlan {
  readonly directory: string
  readonly skein: string
  readonly rounds: number
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly progress: Progress
}

export async function requestCosts(plan: RequestPlan): Promise<RequestCosts> {
  const namespace = createNamespace()
  const clean = typeof namespace === 'string' ? () => {} : namespace.remove
  process.once('exit', clean)
  try {
    return await within(plan, namespace)
  } finally {
    process.off('exit', clean)
    clean()
  }
}

async function within(plan: RequestPlan, namespace: Namespace | string): Promise<RequestCosts> {
  const backendPort = await freePort()
  const backend = startBackend(plan.directory, backendPort)
  const outside = typeof namespace === 'string' ? LOOPBACK : namespace.outside
  const docker = await startFakeSwarm(SHAPE, backendPort, outside.listen)
  const setting = {
    directory: plan.directory,
    skein: plan.skein,
    managers: [`tcp://${outside.reach}:${docker.port}`],
    more: ['--no-learn-managers'],
  }
  const alone = await Replicas.create('alone', setting, outside)
  const members = [await Replicas.create('near', setting, outside), await Replicas.create('third', setting, outside)]
  const cutOff = typeof namespace === 'string' ? null : await Replicas.create('cut-off', setting, namespace.inside)
  const cluster = cutOff === null ? members : [...members, cutOff]
  try {
    await startAll([alone], false, HOST)
    await startAll(cluster, true, HOST)
    return await rounds(plan, alone, members[0]!, cutOff, cluster, typeof namespace === 'string' ? namespace : null)
  } finally {
    await Promise.all([alone, ...cluster].map(replica => replica.stop()))
    docker.stop()
    await end(backend)
  }
}

async function rounds(
  plan: RequestPlan,
  alone: BenchReplica,
  member: BenchReplica,
  cutOff: BenchReplica | null,
  cluster: readonly BenchReplica[],
  notRelayed: string | null,
): Promise<RequestCosts> {
  const off: number[] = []
  const on: number[] = []
  const relayed: number[] = []
  let errors = 0
  const load = async (through: BenchReplica, paid: readonly BenchReplica[], seconds: number): Promise<number> => {
    const cpu = (): number => paid.reduce((sum, replica) => sum + cpuMicroseconds(replica.pid), 0)
    const before = cpu()
    const result = await wrk(through.web, SHAPE, SHAPE.load!, seconds, plan.directory, through.place.reach)
    errors += result.errors
    if (result.requests === 0) throw new Error(`no request through ${through.name} was answered\n${through.logTail()}`)
    return (cpu() - before) / result.requests
  }
  if (cutOff !== null) await mustRelay(cutOff)
  const loads = [
    { through: alone, paid: [alone], into: off },
    { through: member, paid: [member], into: on },
    ...(cutOff === null ? [] : [{ through: cutOff, paid: cluster, into: relayed }]),
  ]
  if (plan.warmUpSeconds > 0) for (const { through, paid } of loads) await load(through, paid, plan.warmUpSeconds)
  errors = 0
  for (let round = 0; round < plan.rounds; round++) {
    // Alternates the order, so that each is first as often as last.
    for (const { through, paid, into } of loads) into.push(await load(through, paid, plan.seconds))
    loads.reverse()
    plan.progress('us per request with clustering on', round + 1, plan.rounds, on)
  }
  await settled(cluster)
  return { off, on, relayed, notRelayed, errors }
}

/** Verifies that the requests are relayed. */
async function mustRelay(cutOff: BenchReplica): Promise<void> {
  await until(
    `${cutOff.name} relays ${HOST}`,
    async () => {
      await cutOff.get(HOST)
      return ((await cutOff.page('cluster'))?.relaying.length ?? 0) > 0
    },
    30_000,
    { everyMs: 25 },
  )
}
