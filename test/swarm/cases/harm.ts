// Cases that kill managers: when the leader dies, every manager hangs for about ten seconds; when a follower dies, none hangs.

import * as assert from 'uvu/assert'
import type { SwarmCase } from './cases.ts'
import { roll, withService } from './fixture.ts'
import { call, type SwarmTarget } from './target.ts'
import { running, waitFor } from './watch.ts'

/** The endpoints of the leader and of the followers. */
async function roles(target: SwarmTarget): Promise<{ leader: string; followers: readonly string[] }> {
  const nodes = (await call(target.managers[0] ?? '', 'GET', '/nodes')).body as {
    ID: string
    ManagerStatus?: { Leader?: boolean }
  }[]
  const leaderId = nodes.find(node => node.ManagerStatus?.Leader === true)?.ID
  const ids = await Promise.all(
    target.managers.map(async endpoint => ({
      endpoint,
      id: ((await call(endpoint, 'GET', '/info')).body as { Swarm: { NodeID: string } }).Swarm.NodeID,
    })),
  )
  const leader = ids.find(one => one.id === leaderId)?.endpoint
  assert.ok(leader, 'no leader')
  return { leader, followers: ids.filter(one => one.endpoint !== leader).map(one => one.endpoint) }
}

/** Waits until all managers answer and agree that all nodes are ready. */
function whole(target: SwarmTarget): Promise<unknown> {
  return waitFor(target, 'a complete swarm', 60_000, async () => {
    for (const manager of target.managers) {
      const answer = await call(manager, 'GET', '/nodes').catch(() => null)
      if (answer?.status !== 200) return undefined
      const nodes = answer.body as { Status: { State: string }; ManagerStatus?: { Reachability: string } }[]
      const ready = nodes.every(
        node => node.Status.State === 'ready' && (node.ManagerStatus?.Reachability ?? 'reachable') === 'reachable',
      )
      if (!ready) return undefined
    }
    return true
  })
}

async function elapsed(target: SwarmTarget, endpoint: string, path: string): Promise<{ status: number; ms: number }> {
  const startedAt = performance.now()
  const { status } = await call(endpoint, 'GET', path, undefined, 60_000)
  return { status, ms: (performance.now() - startedAt) * target.speed }
}

export const harmCases: readonly SwarmCase[] = [
  {
    name: 'the leader is killed: reads hang on all others, then succeed; /_ping answers; a roll works',
    harms: true,
    run: target =>
      withService(target, 'c-leader', { replicas: 2 }, async ({ name }) => {
        await running(target, name, 2)
        const { leader, followers } = await roles(target)
        await target.harm?.kill(leader)
        try {
          const hung = followers.map(endpoint => elapsed(target, endpoint, '/services'))
          for (const endpoint of followers) assert.ok((await elapsed(target, endpoint, '/_ping')).ms < 2_000)
          await assertRefused(leader)
          const answers = await Promise.all(hung)
          for (const { status, ms } of answers) {
            assert.ok(ms > 2_000 && ms < 30_000, `${ms} ms`)
            assert.ok(status === 200 || status === 500 || status === 503, String(status))
          }
          const survivor = target.managers.indexOf(followers[0] ?? '')
          await waitFor(target, 'the survivors to answer', 30_000, async () => {
            const answer = await call(followers[0] ?? '', 'GET', '/services').catch(() => null)
            return answer?.status === 200 || undefined
          })
          await roll(target, name, survivor)
        } finally {
          await target.harm?.revive(leader)
          await whole(target)
        }
      }),
  },
  {
    name: 'a follower is killed: no manager hangs; after its return it has the changes',
    harms: true,
    async run(target) {
      const { leader, followers } = await roles(target)
      const [victim = '', other = ''] = followers
      await target.harm?.kill(victim)
      try {
        for (const endpoint of [leader, other]) {
          const { status, ms } = await elapsed(target, endpoint, '/services')
          assert.is(status, 200)
          assert.ok(ms < 2_000, `${ms} ms`)
        }
        await assertRefused(victim)
      } finally {
        await target.harm?.revive(victim)
        await whole(target)
      }
      const versions = await Promise.all(
        [victim, other].map(async endpoint =>
          ((await call(endpoint, 'GET', '/nodes')).body as { Version: { Index: number } }[])
            .map(node => node.Version.Index)
            .sort(),
        ),
      )
      assert.equal(versions[0], versions[1])
    },
  },
  {
    name: 'two of three managers are dead: swarm calls fail after about 20 s, /info still answers',
    harms: true,
    async run(target) {
      if (target.managers.length !== 3) return
      const { leader, followers } = await roles(target)
      const [other = '', last = ''] = followers
      await target.harm?.kill(other)
      await target.harm?.kill(leader)
      try {
        const [services, info, ping] = await Promise.all(
          ['/services', '/info', '/_ping'].map(path => elapsed(target, last, path)),
        )
        assert.is(services?.status, 500)
        assert.ok((services?.ms ?? 0) > 15_000, `${services?.ms} ms`)
        assert.is(info?.status, 200)
        assert.ok((ping?.ms ?? 0) < 2_000, `${ping?.ms} ms`)
      } finally {
        await target.harm?.revive(leader)
        await target.harm?.revive(other)
        await whole(target)
      }
    },
  },
]

async function assertRefused(endpoint: string): Promise<void> {
  const failed = await call(endpoint, 'GET', '/_ping', undefined, 5_000).then(
    () => false,
    () => true,
  )
  assert.ok(failed, `${endpoint} still answers`)
}
