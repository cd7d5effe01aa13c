// An edge whose cluster and relay ports a firewall blocks: first for what comes in, then both ways.

import { agree, LeaderWatch } from '../cluster.ts'
import { blockPorts } from '../network.ts'
import { EDGES } from '../topology.ts'
import { deployAndRoute, type Figures, observe, type Scenario } from './contract.ts'

/** Relay and cluster. */
const PORTS = [7997, 7998]
const SETTLE_MS = 6000
const REJOIN_MS = 60_000

export const firewall: Scenario = {
  name: 'firewall',
  promise:
    "a firewall blocks an edge's cluster and relay ports, first for what comes in (it stays a member by what it dials itself), then both " +
    'ways (it leads itself): services deployed meanwhile are served through every edge (routeReadyMs), no request fails',
  onlyInAll: true,
  backend: { replicas: 4 },
  posts: true,
  async harm(scene): Promise<Figures> {
    const walled = EDGES.find(edge => edge !== scene.leader.node) ?? scene.leader.node
    const pid = scene.replicas.get(walled)?.pid ?? 0
    const watch = await LeaderWatch.open(scene.replicas)
    try {
      await blockPorts(pid, PORTS, false)
      const walledAt = Date.now()
      // connections that others had made to it hang now; they are given up, and it makes new ones itself
      await observe(SETTLE_MS)
      const followsAt = await watch.when('the walled edge to follow', REJOIN_MS, () => agree(watch, EDGES))
      const inward = await deployAndRoute(scene, 'chaos-new-1')
      await blockPorts(pid, PORTS, true)
      const cutAt = Date.now()
      const aloneAt = await watch.when('the walled edge to lead itself', 60_000, () => watch.view(walled)?.role === 'leader')
      const both = await deployAndRoute(scene, 'chaos-new-2')
      await observe(scene.short ? 2000 : 20_000)
      await blockPorts(pid, [], false)
      const openAt = Date.now()
      const healedAt = await watch.when('one leader', 60_000, () => {
        return agree(watch, EDGES)
      })
      return {
        walled: walled.name,
        rejoinedMs: followsAt - walledAt,
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
