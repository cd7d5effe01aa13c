// Cases about the form of the API's objects and answers: the fields that discovery reads, versions, filters, refusals.

import * as assert from 'uvu/assert'
import type { SwarmCase } from './cases.ts'
import { inspect, update, withService } from './fixture.ts'
import { call, EventLog, withFilters } from './target.ts'
import { running, type Service, sleep, type Task, tasksOf, waitFor } from './watch.ts'

interface Node {
  readonly ID: string
  readonly Version: { readonly Index: number }
  readonly Spec: { readonly Role: string; readonly Availability: string }
  readonly Description: { readonly Hostname: string }
  readonly Status: { readonly State: string; readonly Addr: string }
  readonly ManagerStatus?: { readonly Leader?: boolean; readonly Reachability: string; readonly Addr: string }
}

export const shapeCases: readonly SwarmCase[] = [
  {
    name: 'each manager answers /_ping, /version and /info, with and without a version prefix',
    async run(target) {
      for (const manager of target.managers) {
        const ping = await call(manager, 'GET', '/_ping')
        assert.is(ping.status, 200)
        assert.is(ping.body, 'OK')
        assert.match(String(ping.headers['api-version']), /^1\.\d+$/)
        const version = (await call(manager, 'GET', '/v1.40/version')).body as { ApiVersion: string; Version: string }
        assert.match(version.ApiVersion, /^1\.\d+$/)
        const info = (await call(manager, 'GET', '/info')).body as { Name: string; Swarm: Record<string, unknown> }
        assert.is(info.Swarm.LocalNodeState, 'active')
        assert.is(info.Swarm.ControlAvailable, true)
        assert.is((info.Swarm.RemoteManagers as unknown[]).length, target.managers.length)
        assert.type(info.Swarm.NodeID, 'string')
        assert.type(info.Swarm.NodeAddr, 'string')
      }
      const tooNew = await call(target.managers[0] ?? '', 'GET', '/v1.99/version')
      assert.is(tooNew.status, 400)
      assert.match(JSON.stringify(tooNew.body), /client version 1\.99 is too new/)
      assert.is((await call(target.managers[0] ?? '', 'GET', '/nonsense')).status, 404)
    },
  },
  {
    name: 'nodes: managers with their addresses, exactly one leader, the same from every manager',
    async run(target) {
      for (const manager of target.managers) {
        const nodes = (await call(manager, 'GET', '/nodes')).body as Node[]
        assert.is(nodes.length, target.managers.length + target.workers.length)
        for (const node of nodes) {
          assert.match(node.ID, /^[0-9a-z]{25}$/)
          assert.ok(node.Version.Index > 0)
          assert.is(node.Status.State, 'ready')
          assert.match(node.Status.Addr, /^\d+\.\d+\.\d+\.\d+$/)
          assert.ok(node.Description.Hostname.length > 0)
          assert.is(node.ManagerStatus !== undefined, node.Spec.Role === 'manager')
        }
        const managers = nodes.filter(node => node.Spec.Role === 'manager')
        assert.is(managers.length, target.managers.length)
        assert.is(managers.filter(node => node.ManagerStatus?.Leader === true).length, 1)
        for (const node of managers) assert.is(node.ManagerStatus?.Addr, `${node.Status.Addr}:2377`)
      }
    },
  },
  {
    name: 'a worker refuses swarm calls, and answers /_ping, /info and /containers/json',
    async run(target) {
      const worker = target.workers[0] ?? ''
      for (const path of ['/nodes', '/services', '/tasks', '/services/any', '/nodes/any']) {
        const answer = await call(worker, 'GET', path)
        assert.is(answer.status, 503, path)
        assert.match((answer.body as { message: string }).message, /^This node is not a swarm manager\./)
      }
      assert.is((await call(worker, 'GET', '/_ping')).status, 200)
      const info = (await call(worker, 'GET', '/info')).body as { Swarm: Record<string, unknown> }
      assert.is(info.Swarm.ControlAvailable, false)
      assert.ok(Array.isArray((await call(worker, 'GET', '/containers/json')).body))
    },
  },
  {
    name: 'a service and its tasks: labels, slots, nodes, addresses; the same from every manager',
    run: target =>
      withService(target, 'c-shape', { replicas: 2, labels: { 'traefik.port': '80' } }, async ({ id, name, network }) => {
        await running(target, name, 2)
        const nodes = (await call(target.managers[0] ?? '', 'GET', '/nodes')).body as Node[]
        for (const manager of target.managers) {
          const services = (await call(manager, 'GET', withFilters('/services', { name: [name] }))).body as Service[]
          assert.is(services.length, 1)
          assert.is(services[0]?.ID, id)
          assert.equal(services[0]?.Spec.Labels, { 'traefik.port': '80' })
          assert.equal(services[0]?.Spec.Mode, { Replicated: { Replicas: 2 } })
          assert.equal(services[0]?.Spec.EndpointSpec, { Mode: 'dnsrr' })
          assert.equal(services[0]?.Spec.TaskTemplate.Networks, [{ Target: network }])
          const tasks = (await call(manager, 'GET', withFilters('/tasks', { service: [id], 'desired-state': ['running'] })))
            .body as Task[]
          assert.equal(tasks.map(task => task.Slot).sort(), [1, 2])
          for (const task of tasks) {
            assert.is(task.ServiceID, id)
            assert.ok(nodes.some(node => node.ID === task.NodeID))
            assert.is(task.NetworksAttachments?.length, 1)
            assert.is(task.NetworksAttachments?.[0]?.Network.ID, network)
            assert.is(task.NetworksAttachments?.[0]?.Network.Spec.Name, `${name}-net`)
            assert.match(task.NetworksAttachments?.[0]?.Addresses[0] ?? '', /^\d+\.\d+\.\d+\.\d+\/\d+$/)
            assert.match(task.Status.ContainerStatus?.ContainerID ?? '', /^[0-9a-f]{64}$/)
            assert.ok(Date.parse(task.UpdatedAt) >= Date.parse(task.CreatedAt))
          }
          const networks = (await call(manager, 'GET', withFilters('/networks', { scope: ['swarm'] }))).body as {
            Id: string
            Name: string
          }[]
          assert.is(networks.find(one => one.Id === network)?.Name, `${name}-net`)
        }
        const addresses = (await tasksOf(target, name)).map(task => task.NetworksAttachments?.[0]?.Addresses[0])
        assert.is(new Set(addresses).size, 2)
      }),
  },
  {
    name: 'a change: a higher version, a later UpdatedAt, an event on every manager; an old version is refused',
    run: target =>
      withService(target, 'c-version', { replicas: 1 }, async ({ id, name }) => {
        await running(target, name, 1)
        const before = await inspect(target, name)
        const tasksBefore = await tasksOf(target, name)
        const log = await EventLog.open(target.managers, '?filters=%7B%22type%22%3A%5B%22service%22%5D%7D')
        try {
          await update(target, name, spec => ({ ...spec, Labels: { 'traefik.enable': 'false' } }))
          const after = await inspect(target, name)
          assert.ok(after.Version.Index > before.Version.Index)
          assert.ok(Date.parse(after.UpdatedAt) > Date.parse(before.UpdatedAt))
          assert.is(after.CreatedAt, before.CreatedAt)
          await waitFor(target, 'the event on every manager', 5_000, async () => {
            const delivered = log.seen.filter(event => event.id === id && event.action === 'update').map(event => event.endpoint)
            return new Set(delivered).size === target.managers.length || undefined
          })
          for (const event of log.seen) {
            assert.is(event.type, 'service')
            assert.is(event.scope, 'swarm')
            assert.type(event.attributes.name, 'string')
          }
          const stale = await call(
            target.managers[0] ?? '',
            'POST',
            `/services/${id}/update?version=${before.Version.Index}`,
            after.Spec,
          )
          assert.is(stale.status, 500)
          assert.match(JSON.stringify(stale.body), /update out of sequence/)
          // A change of labels only replaces no task.
          await sleep(target, 1_000)
          assert.equal(
            (await tasksOf(target, name)).map(task => [task.ID, task.DesiredState]),
            tasksBefore.map(task => [task.ID, 'running']),
          )
        } finally {
          log.close()
        }
      }),
  },
  {
    name: 'filters: name prefix, label, role, desired state, service; unknown names and values are refused',
    run: target =>
      withService(target, 'c-filter', { replicas: 2, labels: { 'c.colour': 'red' } }, async ({ id, name }) => {
        const manager = target.managers[0] ?? ''
        const tasks = await running(target, name, 2)
        const count = async (path: string, filters: Record<string, string[]>): Promise<number> => {
          const answer = await call(manager, 'GET', withFilters(path, filters))
          return answer.status === 200 ? (answer.body as unknown[]).length : -answer.status
        }
        assert.is(await count('/services', { name: ['c-filt'] }), 1)
        assert.is(await count('/services', { name: ['filter'] }), 0)
        assert.is(await count('/services', { id: [id] }), 1)
        assert.is(await count('/services', { label: ['c.colour=red'] }), 1)
        assert.is(await count('/services', { label: ['c.colour'] }), 1)
        assert.is(await count('/services', { label: ['c.colour=red', 'c.none'] }), 0)
        assert.is(await count('/services', { name: [name], mode: ['global'] }), 0)
        assert.is(await count('/tasks', { service: [name] }), 2)
        assert.is(await count('/tasks', { service: [id], 'desired-state': ['running'] }), 2)
        assert.is(await count('/tasks', { service: [id], 'desired-state': ['running', 'shutdown'] }), 2)
        assert.is(await count('/tasks', { service: [id], 'desired-state': ['shutdown'] }), 0)
        assert.is(await count('/tasks', { service: [id], node: [tasks[0]?.NodeID ?? ''] }), 1)
        assert.is(await count('/tasks', { label: ['c.colour=red'] }), 2)
        assert.is(await count('/tasks', { id: [tasks[0]?.ID ?? ''] }), 1)
        assert.is(await count('/nodes', { role: ['manager'] }), target.managers.length)
        assert.is(await count('/nodes', { role: ['worker'] }), target.workers.length)
        // A full name always matches; a part of a name only if the network exists on the manager's own node.
        assert.is(await count('/networks', { name: [`${name}-net`] }), 1)
        // The engine accepts {"running": true} in place of ["running"].
        const asMaps = JSON.stringify({ service: { [id]: true }, 'desired-state': { running: true } })
        const old = `/tasks?filters=${encodeURIComponent(asMaps)}`
        assert.is(((await call(manager, 'GET', old)).body as unknown[]).length, 2)
        assert.is(await count('/services', { 'desired-state': ['running'] }), -400)
        assert.is(await count('/tasks', { nonsense: ['x'] }), -400)
        assert.is(await count('/tasks', { 'desired-state': ['nonsense'] }), -500)
        assert.is(await count('/nodes', { role: ['nonsense'] }), -500)
        assert.is(await count('/tasks', { service: ['c-nonsense'] }), -404)
        assert.is((await call(manager, 'GET', '/services/c-nonsense')).status, 404)
      }),
  },
]
