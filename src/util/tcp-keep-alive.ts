// TCP keep-alive towards clients and servers. A response may be quiet for any time, so the kernel's probes detect a peer that
// vanished without FIN or reset (power cut, pulled cable, expired NAT entry). They also keep the entries of devices in between
// alive (Swarm's load balancer, IPVS, drops an entry after 15 min of silence).

import type { Socket } from 'node:net'

/** Idle time before the first probe. */
const IDLE_MS = 60_000
/** Interval of probes, and the number of unanswered ones that ends the connection: 2 min after the last byte. */
const INTERVAL_MS = 15_000
const PROBES = 4

/** Signature of Node 26. Without the last two arguments libuv sends ten probes within ten seconds, too few for a network to heal. */
interface ProbedSocket {
  setKeepAlive(enable: boolean, initialDelayMs: number, intervalMs: number, count: number): unknown
}

/** Enables keep-alive on a connected socket. */
export function keepAlive(socket: Socket): void {
  const probed: ProbedSocket = socket
  probed.setKeepAlive(true, IDLE_MS, INTERVAL_MS, PROBES)
}
