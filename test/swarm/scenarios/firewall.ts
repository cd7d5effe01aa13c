// A firewall blocks an edge's cluster and relay ports, first for incoming connections, then both ways.

import { agree, LeaderWatch } from '../cluster.ts'
import { blockPorts } from '../network.ts'
import { EDGES } from '../topology.ts'
import { deployAndRoute, type Figures, observe, type Scenario } from './contract.ts'

/** The relay and cluster ports. */
const PORTS = [7997, 7998]
const SETTLE_MS = 6000
const REJOIN_MS = 60_000

export const firewall: Scenario = {
  name: 'firewall',
  promise:
    "a firewall blocks an edge's cluster and relay ports, first for incoming connections (it stays a member by connections that it dials), " +
    'then both ways (it leads itself): services deployed meanwhile are served through every edge (routeReadyMs), no request fails',
  onlyInAll: true,
  backend: { replicas: 4 },
  posts: true,
  async harm(scene): Promise<Figures> {
    const blocked = EDGES.find(edge => edge !== scene.leader.node) ?? scene.leader.node
    const pid = scene.replicas.get(blocked)?.pid ?? 0
    const watch = await LeaderWatch.open(scene.replicas)
    try {
      await blockPorts(pid, PORTS, false)
      const blockedAt = Date.now()
      // Connections that others had opened to it hang until they are closed; then it opens new ones itself.
      await observe(SETTLE_MS)
      const followsAt = await watch.when('the blocked edge to follow', REJOIN_MS, () => agree(watch, EDGES))
      const inward = await deployAndRoute(scene, 'chaos-new-1')
      await blockPorts(pid, PORTS, true)
      const cutAt = Date.now()
      const aloneAt = await watch.when('the blocked edge to lead itself', 60_000, () => watch.view(blocked)?.role === 'leader')
      const both = await deployAndRoute(scene, 'chaos-new-2')
      await observe(scene.short ? 2000 : 20_000)
      await blockPorts(pid, [], false)
      const openAt = Date.now()
      const healedAt = await watch.when('one leader', 60_000, () => {
        return agree(watch, EDGES)
      })
      return {
        blocked: blocked.name,
        rejoinedMs: followsAt - blockedAt,
        routeReadyMs: [inward.routeReadyMs, both.routeReadyMs],
        leadsAloneMs: aloneAt - cutAt,
        healedMs: healedAt - openAt,
      }
    } finally {
      watch.close()
      await blockPorts(pid, [], false)
    }
  },
}
