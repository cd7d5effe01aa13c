// Which server holds this cluster's keys: the one that is named, the Sentinels' master, or the master of the keys' slot in a
// Redis Cluster (all keys share one hash tag, so there is one). Sentinels and nodes are asked at the same time and the answer of
// most counts: one that was cut off from the others may still name the master of yesterday.

import { type Client, type Login, openClient } from './client.ts'
import { type HostPort, type RedisStoreOptions, written } from './options.ts'

/** Nodes of a Redis Cluster that are remembered beside the ones in the options. */
const MOST_LEARNED = 16

export type Locate = () => Promise<HostPort>

/** `key` is any of the cluster's keys. The function rejects when nobody knows. */
export function locator(options: RedisStoreOptions, key: string): Locate {
  const { mode, hosts, master, tls } = options
  if (mode === 'single') return () => Promise.resolve(hosts[0] as HostPort)
  if (mode === 'sentinel') {
    const login = { username: '', password: options.sentinelPassword }
    return () => most(hosts.map(host => ask(host, login, tls, client => masterOf(client, master))))
  }
  const learned = new Map<string, HostPort>()
  return () => {
    const known = new Map([...hosts.map(host => [written(host), host] as const), ...learned])
    return most(
      [...known.values()].map(host =>
        ask(host, options, tls, async client => {
          const { owner, nodes } = await ownerOf(client, host, key)
          learned.clear()
          for (const node of nodes.slice(0, MOST_LEARNED)) learned.set(written(node), node)
          return owner
        }),
      ),
    )
  }
}

async function ask(
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
  const answer = await client.call('SENTINEL', 'get-master-addr-by-name', master)
  if (answer === null) throw new Error(`the Sentinel ${client.at} knows no master of this name`)
  const [host, port] = Array.isArray(answer) ? answer : []
  return address(host, port, client.at)
}

async function ownerOf(
  client: Client,
  asked: HostPort,
  key: string,
): Promise<{ readonly owner: HostPort; readonly nodes: readonly HostPort[] }> {
  const slot = Number(await client.call('CLUSTER', 'KEYSLOT', key))
  const ranges = await client.call('CLUSTER', 'SLOTS')
  const nodes: HostPort[] = []
  let owner: HostPort | null = null
  for (const range of Array.isArray(ranges) ? ranges : []) {
    const [from, to, first] = Array.isArray(range) ? range : []
    // A node that does not know its own address means the one under which it was asked.
    const [host, port] = Array.isArray(first) ? first : []
    const node = address(host === null || host === '' || host === '?' ? asked.host : host, port, client.at)
    nodes.push(node)
    if (slot >= Number(from) && slot <= Number(to)) owner = node
  }
  if (owner === null) throw new Error(`CLUSTERDOWN no node has the slot ${slot}`)
  return { owner, nodes }
}

function address(host: unknown, port: unknown, at: string): HostPort {
  const number = Number(port)
  if (typeof host !== 'string' || !/^[\w.:-]{1,253}$/.test(host) || !Number.isInteger(number) || number < 1 || number > 65_535)
    throw new Error(`${at} names no address`)
  return { host, port: number }
}

/**
 * What most say, as soon as more than half do, else of those that answer; of several equally many the first. Rejects when none
 * answers.
 */
function most(asked: readonly Promise<HostPort>[]): Promise<HostPort> {
  return new Promise((resolve, reject) => {
    const votes = new Map<string, { readonly address: HostPort; count: number }>()
    let open = asked.length
    const decide = (error: unknown): void => {
      const ranked = [...votes.values()].sort((a, b) => b.count - a.count)
      const best = ranked[0]
      if (best !== undefined && (open === 0 || best.count > asked.length / 2)) resolve(best.address)
      else if (open === 0) reject(error)
    }
    for (const answer of asked) {
      answer.then(
        found => {
          open -= 1
          const vote = votes.get(written(found)) ?? { address: found, count: 0 }
          vote.count += 1
          votes.set(written(found), vote)
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
