// The conformance suite over gossip: real members on the loopback.

import { test } from 'uvu'
import type { Change } from '../../cluster/store/model.ts'
import { until } from '../until.ts'
import { endAll, startMember, type TestMember } from './cluster-harness.ts'
import { conformance } from './store-conformance.ts'

const members = new Map<string, TestMember[]>()

test.after(endAll)
conformance({
  name: 'gossip',
  kind: 'gossip',
  stateAgeMs: 2_100,
  async open(cluster, name, prepare) {
    const others = members.get(cluster) ?? []
    const calls: (readonly Change[])[] = []
    const member = await startMember(name, others, { cluster, onShared: changes => void calls.push(changes) })
    prepare(member.store)
    members.set(cluster, [...others, member])
    const all = [...others, member]
    await until('all see each other', () => all.every(one => one.status().members.length === all.length))
    await member.store.ready()
    const { store } = member
    return {
      calls,
      store: {
        put: store.put.bind(store),
        remove: store.remove.bind(store),
        get: store.get.bind(store),
        entries: store.entries.bind(store),
        claim: store.claim.bind(store),
        setTables: store.setTables.bind(store),
        ready: store.ready.bind(store),
        status: store.status.bind(store),
        // The member leaves: its store neither sends nor receives any more.
        stop: () => member.stop(),
      },
    }
  },
})

test.run()
