// TCP keep-alive towards clients and servers. An answer may be quiet for as long as both of its sides live, so something else must
// find a side that is gone without a word (power cut, pulled cable, a NAT that has forgotten): the kernel asks for a sign of life.
// It also keeps connections in the tables of what lies between (Swarm's own load balancer forgets after 15 min of silence).

import type { Socket } from 'node:net'

/** After so long without a byte the first probe is sent. */
const IDLE_MS = 60_000
/** Between probes; a side that missed so many of them is gone: 2 min after its last byte. */
const INTERVAL_MS = 15_000
const PROBES = 4

/** As Node 26 has it. Without the last two, libuv sends ten probes within ten seconds: too few seconds for a network to heal. */
interface ProbedSocket {
  setKeepAlive(enable: boolean, initialDelayMs: number, intervalMs: number, count: number): unknown
}

/** Of a connected socket. */
export function keepAlive(socket: Socket): void {
  const probed: ProbedSocket = socket
  probed.setKeepAlive(true, IDLE_MS, INTERVAL_MS, PROBES)
}
