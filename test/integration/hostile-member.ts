// A malicious member that holds the secret and sends arbitrary bytes. As a process of its own (`node hostile-member.ts flood
// PORT...`) it floods the members at those ports of 127.0.0.1 with noise, or (flood-store) with writes to the shared state,
// under a new identity whenever it is disconnected, and prints the number of messages sent when its standard input ends.

import { setTimeout as sleep } from 'node:timers/promises'
import type { MemberId } from '../../cluster/core/state.ts'
import { startNetwork } from '../../cluster/gossip/libp2p.ts'
import type { Network } from '../../cluster/gossip/network.ts'
import { BatchWriter } from '../../cluster/store/codec.ts'
import { SECRET } from './clustered-replica.ts'

export const CLUSTER = 'skein'

export class HostileMember {
  readonly network: Network
  /** Messages received from members, oldest first. */
  readonly received: { readonly from: MemberId; readonly data: Uint8Array }[] = []

  private constructor(network: Network, received: HostileMember['received']) {
    this.network = network
    this.received = received
  }

  /** Resolves when it is connected to this number of members. */
  static async start(targets: readonly string[], members: number): Promise<HostileMember> {
    const silent = (): void => {}
    const received: HostileMember['received'] = []
    const network = await startNetwork({
      listen: { host: '127.0.0.1', port: 0 },
      secrets: [SECRET],
      cluster: CLUSTER,
      events: {
        message: (from, data) => void (received.length < 1000 && received.push({ from, data })),
        connected: silent,
        disconnected: silent,
        bodyOf: () => null,
      },
      log: { debug: silent, info: silent, warn: silent, error: silent },
    })
    network.setTargets(targets)
    const hostile = new HostileMember(network, received)
    for (const end = performance.now() + 60_000; hostile.peers().length < members; await sleep(20)) {
      if (performance.now() > end) throw new Error(`the hostile member reached ${hostile.peers().length} of ${members} members`)
    }
    return hostile
  }

  peers(): readonly MemberId[] {
    return [...new Set(this.network.connections().map(({ id }) => id))]
  }

  /** Sends to every member directly. */
  send(data: Uint8Array | string): void {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    for (const peer of this.peers()) this.network.send(peer, bytes)
  }

  stop(): Promise<void> {
    return this.network.stop()
  }
}

const BURST = 400
const BURST_EVERY_MS = 10
const NOISE_BYTES = 300

/** A store message: writes to a table without an owner. Small, so that many can be sent. */
function storeNoise(): string {
  const batch = new BatchWriter(false)
  const entry = { table: 'noise', value: 'x'.repeat(200), wall: Date.now(), origin: 'flooder', rank: 1, ttlMs: 60_000 } as const
  for (let count = 0; count < 8; count++) batch.add({ ...entry, key: `${count}`, count })
  return Buffer.from(batch.done()).toString('base64')
}

async function flood(targets: readonly string[], store: boolean): Promise<void> {
  let sent = 0
  let identities = 0
  let over = false
  process.stdin.on('end', () => (over = true)).resume()
  const writes = store ? storeNoise() : ''
  const noise = Buffer.alloc(NOISE_BYTES, '{"v":1,"cluster":"skein","n":1,"message":{"kind":"hint"} ')
  while (!over) {
    const hostile = await HostileMember.start(targets, targets.length)
    if (++identities === 1) process.stdout.write('flooding\n')
    while (!over && hostile.peers().length > 0) {
      for (let i = 0; i < BURST; i++) {
        const data = store
          ? Buffer.from(`{"v":1,"cluster":"${CLUSTER}","n":${sent + i + 1},"message":{"kind":"store","data":"${writes}"}}`)
          : noise
        if (i % 2 === 0) hostile.send(data)
        else hostile.network.broadcast(data)
      }
      sent += BURST
      await sleep(BURST_EVERY_MS)
    }
    await hostile.stop()
  }
  process.stdout.write(`${JSON.stringify({ sent, identities })}\n`, () => process.exit(0))
}

const [, file, what, ...targets] = process.argv
if (file === import.meta.filename && (what === 'flood' || what === 'flood-store')) await flood(targets, what === 'flood-store')
