// TCP keep-alive towards clients and servers. An answer may be quiet for as long as both of its sides live, so a side
// that vanished without a FIN or reset (power cut, pulled cable, an expired NAT entry) is found by the kernel's probes. They also
// keep connections in the tables of devices in between (Swarm's own load balancer drops an entry after 15 min of silence).

import type { Socket } from 'node:net'

/** Time without a byte after which the first probe is sent. */
const IDLE_MS = 60_000
/** Time between probes, and how many in a row without an answer end the connection: 2 min after the last byte. */
const INTERVAL_MS = 15_000
const PROBES = 4

/** Node 26's signature. Without the last two, libuv sends ten probes within ten seconds, too short for a network to heal. */
interface ProbedSocket {
  setKeepAlive(enable: boolean, initialDelayMs: number, intervalMs: number, count: number): unknown
}

/** Turns keep-alive on for a connected socket. */
export function keepAlive(socket: Socket): void {
  const probed: ProbedSocket = socket
  probed.setKeepAlive(true, IDLE_MS, INTERVAL_MS, PROBES)
}
