// All replicas start at once, as after a power failure. Swarm reports their tasks as `starting` until the first health check,
// so the peers' DNS name has no address. The node addresses from the first fetch still form one cluster.

import { test } from 'uvu'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { alive, ClusteredReplica } from './clustered-replica.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll } from './skein-process.ts'

const NAMES = ['n1', 'n2', 'n3'] as const
const HUNG = 'tasks.edge.invalid'

test.after(() => {
  endAll()
  closeManagers()
})

test('starting tasks and no DNS: the first fetch forms one cluster of all replicas', async () => {
  const manager = await ScriptedManager.start({ name: 'edge', labels: { 'skein.replica': 'edge', 'traefik.enable': 'false' } })
  const [first] = manager.nodes as [object]
  const [task] = manager.tasks as [object]
  const addresses = NAMES.map((_, n) => `127.71.0.${n + 1}`)
  manager.nodes = NAMES.map((name, n) => ({
    ...first,
    ID: name,
    Description: { Hostname: name },
    Status: { State: 'ready', Addr: addresses[n] },
    ...(n === 0 ? {} : { Spec: { Role: 'worker', Availability: 'active' }, ManagerStatus: undefined }),
  }))
  manager.tasks = NAMES.map(name => ({ ...task, ID: `task-${name}`, NodeID: name, Status: { State: 'starting' } }))
  const port = await freePort()
  const members = await Promise.all(
    NAMES.map((name, n) =>
      ClusteredReplica.start({
        name,
        manager: manager.endpoint,
        peers: [`${HUNG}:${port}`],
        listen: `${addresses[n]}:${port}`,
        more: ['--no-learn-managers'],
      }),
    ),
  )
  for (const member of members) {
    const seesAll = async () => {
      const status = await member.status().catch(() => null)
      return status !== null && alive(status) === 3
    }
    await until(`${member.name} sees all three`, seesAll, 60_000, { everyMs: 50 })
  }
})

test.run()
