// Creates and removes the services and networks of a case, through the Docker API only.

import * as assert from 'uvu/assert'
import { call, type SwarmTarget } from './target.ts'
import { type Service, waitFor } from './watch.ts'

export interface ServiceWish {
  readonly replicas?: number | 'global'
  readonly labels?: Readonly<Record<string, string>>
  readonly network?: string
  readonly order?: 'stop-first' | 'start-first'
  readonly parallelism?: number
  readonly delayMs?: number
}

export async function createNetwork(target: SwarmTarget, name: string): Promise<string> {
  const answer = await call(target.managers[0] ?? '', 'POST', '/networks/create', {
    Name: name,
    Driver: 'overlay',
    Attachable: true,
  })
  assert.is(answer.status, 201, JSON.stringify(answer.body))
  return (answer.body as { Id: string }).Id
}

export async function createService(target: SwarmTarget, name: string, wish: ServiceWish = {}): Promise<string> {
  const spec = {
    Name: name,
    Labels: wish.labels ?? {},
    TaskTemplate: {
      ContainerSpec: { Image: target.image, Args: target.command },
      ...(wish.network === undefined ? {} : { Networks: [{ Target: wish.network }] }),
    },
    Mode: wish.replicas === 'global' ? { Global: {} } : { Replicated: { Replicas: wish.replicas ?? 1 } },
    UpdateConfig: {
      Parallelism: wish.parallelism ?? 1,
      Delay: (wish.delayMs ?? 0) * 1e6,
      Order: wish.order ?? 'stop-first',
      FailureAction: 'pause',
      Monitor: 1e9,
    },
    EndpointSpec: { Mode: 'dnsrr' },
  }
  const answer = await call(target.managers[0] ?? '', 'POST', '/services/create', spec)
  assert.is(answer.status, 201, JSON.stringify(answer.body))
  return (answer.body as { ID: string }).ID
}

export async function inspect(target: SwarmTarget, service: string, manager = 0): Promise<Service> {
  const answer = await call(target.managers[manager] ?? '', 'GET', `/services/${service}`)
  assert.is(answer.status, 200, JSON.stringify(answer.body))
  return answer.body as Service
}

export async function update(
  target: SwarmTarget,
  service: string,
  change: (spec: Service['Spec']) => object,
  manager = 0,
): Promise<void> {
  const old = await inspect(target, service, manager)
  const path = `/services/${old.ID}/update?version=${old.Version.Index}`
  const answer = await call(target.managers[manager] ?? '', 'POST', path, change(old.Spec))
  assert.is(answer.status, 200, JSON.stringify(answer.body))
}

/** Rolls a service, as `docker service update --force` does. */
export function roll(target: SwarmTarget, service: string, manager = 0): Promise<void> {
  const force = (template: Record<string, unknown>): object => ({
    ...template,
    ForceUpdate: Number(template.ForceUpdate ?? 0) + 1,
  })
  return update(target, service, spec => ({ ...spec, TaskTemplate: force(spec.TaskTemplate) }), manager)
}

export function scale(target: SwarmTarget, service: string, replicas: number): Promise<void> {
  return update(target, service, spec => ({ ...spec, Mode: { Replicated: { Replicas: replicas } } }))
}

export async function setAvailability(target: SwarmTarget, nodeId: string, availability: 'active' | 'drain'): Promise<void> {
  const manager = target.managers[0] ?? ''
  const node = (await call(manager, 'GET', `/nodes/${nodeId}`)).body as { Version: { Index: number }; Spec: object }
  const path = `/nodes/${nodeId}/update?version=${node.Version.Index}`
  const answer = await call(manager, 'POST', path, { ...node.Spec, Availability: availability })
  assert.is(answer.status, 200, JSON.stringify(answer.body))
}

/** Runs `body` with a network and a service, and removes both in any case. */
export async function withService(
  target: SwarmTarget,
  name: string,
  wish: ServiceWish,
  body: (service: { id: string; name: string; network: string }) => Promise<void>,
): Promise<void> {
  const networkName = `${name}-net`
  await removeAll(target, name, networkName)
  const network = await createNetwork(target, networkName)
  try {
    const id = await createService(target, name, { ...wish, network })
    await body({ id, name, network })
  } finally {
    await removeAll(target, name, networkName)
  }
}

async function removeAll(target: SwarmTarget, service: string, network: string): Promise<void> {
  const manager = target.managers[0] ?? ''
  await call(manager, 'DELETE', `/services/${service}`)
  await waitFor(target, `network ${network} to be free`, 30_000, async () => {
    const answer = await call(manager, 'DELETE', `/networks/${network}`)
    return answer.status === 404 || undefined
  })
}
