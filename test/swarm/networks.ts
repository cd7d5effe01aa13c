// Overlay networks besides the stack's own: created by a scenario, joined by the edges, removed again.

import { until } from '../until.ts'
import { messageOf } from './command.ts'
import { call, DockerError } from './docker.ts'
import { MARK } from './scenarios/contract.ts'
import { REPLICA } from './stack.ts'
import { anyManager, listServices, type ServiceSpec, updateService, waitForUpdate } from './swarm.ts'

const JOIN_MS = 180_000
const REMOVE_MS = 60_000

interface Network {
  readonly Id: string
  readonly Name: string
  readonly Labels?: Readonly<Record<string, string>> | null
}

interface NetworkShape {
  readonly subnet: string
  /** Addresses are allocated from this part of the subnet only. */
  readonly range?: string
}

/** Creates an attachable overlay network; resolves with its id. */
export async function createNetwork(name: string, { subnet, range }: NetworkShape): Promise<string> {
  const config = { Subnet: subnet, ...(range === undefined ? {} : { IPRange: range }) }
  const spec = {
    Name: name,
    Driver: 'overlay',
    Attachable: true,
    Labels: { [MARK]: 'true' },
    IPAM: { Driver: 'default', Config: [config] },
  }
  const { Id } = await anyManager(manager => call<{ Id: string }>(manager, 'POST', '/networks/create', spec, 20_000))
  return Id
}

/** Removes a network, after the tasks that still use it have ended; does nothing if it does not exist. */
export async function removeNetwork(id: string): Promise<void> {
  await until(
    `the network ${id} to be removed`,
    async () => {
      try {
        await anyManager(manager => call(manager, 'DELETE', `/networks/${id}`))
        return true
      } catch (error) {
        if (error instanceof DockerError && error.status === 404) return true
        throw error
      }
    },
    REMOVE_MS,
    { everyMs: 100 },
  )
}

/** Removes the networks that scenarios created. */
export async function removeMarkedNetworks(): Promise<void> {
  const filters = encodeURIComponent(JSON.stringify({ label: [MARK], scope: ['swarm'] }))
  const left = await anyManager(manager => call<Network[]>(manager, 'GET', `/networks?filters=${filters}`))
  if (left.length === 0) return
  await changeEdges(networks => networks.filter(({ Target }) => !left.some(({ Id }) => Id === Target)))
  for (const { Id } of left) await removeNetwork(Id)
}

/** Attaches the edges to a network, one replica after the other without a pause; resolves when all are attached. */
export function joinEdgesTo(id: string): Promise<void> {
  return changeEdges(networks => [...networks, { Target: id }])
}

/** Detaches the edges from a network, in the same way. */
export function leaveEdgesFrom(id: string): Promise<void> {
  return changeEdges(networks => networks.filter(({ Target }) => Target !== id))
}

type Attachments = readonly { readonly Target: string }[]

async function changeEdges(change: (networks: Attachments) => Attachments): Promise<void> {
  const of = (spec: ServiceSpec): Attachments => (spec.TaskTemplate.Networks ?? []) as Attachments
  await changeReplicas(spec => {
    const networks = change(of(spec))
    if (networks.length === of(spec).length) return spec
    return { ...spec, TaskTemplate: { ...spec.TaskTemplate, Networks: networks } }
  })
}

/** Changes the spec of the replicas' service, one replica after the other without a pause; resolves when all are replaced. */
export async function changeReplicas(change: (spec: ServiceSpec) => ServiceSpec): Promise<void> {
  const service = (await anyManager(listServices)).find(({ Spec }) => Spec.Name === REPLICA)
  if (service === undefined) throw new Error(`${REPLICA} is not deployed`)
  if (change(service.Spec) === service.Spec) return
  const asDeployed = service.Spec.UpdateConfig as object
  await updateService(service.ID, spec => ({ ...change(spec), UpdateConfig: { ...asDeployed, Delay: 0 } }))
  try {
    await waitForUpdate(service.ID, JOIN_MS)
  } catch (error) {
    throw new Error(`${REPLICA} was not changed: ${messageOf(error)}`)
  }
  await updateService(service.ID, spec => ({ ...spec, UpdateConfig: asDeployed }))
}
