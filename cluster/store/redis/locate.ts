// Finds the server that holds this cluster's keys: the configured one, the Sentinels' master, or the master of the keys' slot
// in a Redis Cluster (all keys share one hash tag, so there is one). Sentinels and nodes are queried concurrently and the
// majority decides: a node that was partitioned may name a former master.

import { type Client, type Login, openClient } from './client.ts'
import { formatHostPort, type HostPort, type RedisStoreOptions } from './options.ts'

/** Nodes of a Redis Cluster that are remembered in addition to the configured ones. */
const MAX_LEARNED = 16

export type Locate = () => Promise<HostPort>

/**
 * The returned function rejects when no server responds.
 * @param key any of the cluster's keys
 */
export function createLocator(options: RedisStoreOptions, key: string): Locate {
  const { mode, hosts, master, tls } = options
  if (mode === 'single') return () => Promise.resolve(hosts[0] as HostPort)
  if (mode === 'sentinel') {
    const login = { username: '', password: options.sentinelPassword }
    return () => majority(hosts.map(host => query(host, login, tls, client => masterOf(client, master))))
  }
  const learned = new Map<string, HostPort>()
  return () => {
    const candidates = new Map([...hosts.map(host => [formatHostPort(host), host] as const), ...learned])
    return majority(
      [...candidates.values()].map(host =>
        query(host, options, tls, async client => {
          const { owner, nodes } = await ownerOf(client, host, key)
          learned.clear()
          for (const node of nodes.slice(0, MAX_LEARNED)) learned.set(formatHostPort(node), node)
          return owner
        }),
      ),
    )
  }
}

async function query(
  host: HostPort,
  login: Login,
  tls: RedisStoreOptions['tls'],
  question: (client: Client) => Promise<HostPort>,
): Promise<HostPort> {
  const client = await openClient(host, login, tls, () => {})
  try {
    return await question(client)
  } finally {
    client.close()
  }
}

async function masterOf(client: Client, master: string): Promise<HostPort> {
  const response = await client.call('SENTINEL', 'get-master-addr-by-name', master)
  if (response === null) throw new Error(`the Sentinel ${client.at} has no master of this name`)
  const [host, port] = Array.isArray(response) ? response : []
  return address(host, port, client.at)
}

async function ownerOf(
  client: Client,
  queried: HostPort,
  key: string,
): Promise<{ readonly owner: HostPort; readonly nodes: readonly HostPort[] }> {
  const slot = Number(await client.call('CLUSTER', 'KEYSLOT', key))
  const ranges = await client.call('CLUSTER', 'SLOTS')
  const nodes: HostPort[] = []
  let owner: HostPort | null = null
  for (const range of Array.isArray(ranges) ? ranges : []) {
    const [from, to, first] = Array.isArray(range) ? range : []
    // A node without its own address means the one it was reached at.
    const [host, port] = Array.isArray(first) ? first : []
    const node = address(host === null || host === '' || host === '?' ? queried.host : host, port, client.at)
    nodes.push(node)
    if (slot >= Number(from) && slot <= Number(to)) owner = node
  }
  if (owner === null) throw new Error(`CLUSTERDOWN no node serves slot ${slot}`)
  return { owner, nodes }
}

function address(host: unknown, port: unknown, at: string): HostPort {
  const number = Number(port)
  if (typeof host !== 'string' || !/^[\w.:-]{1,253}$/.test(host) || !Number.isInteger(number) || number < 1 || number > 65_535)
    throw new Error(`${at} returned no valid address`)
  return { host, port: number }
}

/**
 * The response of a majority as soon as there is one, else the most frequent one, the first among equals. Rejects when there is
 * no response.
 */
function majority(queried: readonly Promise<HostPort>[]): Promise<HostPort> {
  return new Promise((resolve, reject) => {
    const votes = new Map<string, { readonly address: HostPort; count: number }>()
    let open = queried.length
    const decide = (error: unknown): void => {
      const ranked = [...votes.values()].sort((a, b) => b.count - a.count)
      const best = ranked[0]
      if (best !== undefined && (open === 0 || best.count > queried.length / 2)) resolve(best.address)
      else if (open === 0) reject(error)
    }
    for (const response of queried) {
      response.then(
        found => {
          open -= 1
          const vote = votes.get(formatHostPort(found)) ?? { address: found, count: 0 }
          vote.count += 1
          votes.set(formatHostPort(found), vote)
          decide(null)
        },
        (error: unknown) => {
          open -= 1
          decide(error)
        },
      )
    }
  })
}
