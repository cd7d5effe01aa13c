// Entry point of a data worker thread: holds the compiled snapshot, listens and serves. It keeps serving without the control thread.

import { parentPort, workerData } from 'node:worker_threads'
import { MIDDLEWARES } from '../middlewares/registry.ts'
import type { Outcomes } from '../proxy/breaker/tally.ts'
import { WorkerCounters } from '../proxy/counters.ts'
import { Sweep } from '../proxy/forward/deadlines.ts'
import { Forwarder } from '../proxy/forward/forwarder.ts'
import type { ClientConnection } from '../proxy/http1/client-connection.ts'
import { serverTransports } from '../proxy/http1/http1-transport.ts'
import { EntryPoint } from '../proxy/listen/entry-point.ts'
import { RequestIds } from '../proxy/message/request-ids.ts'
import { RelayEntry } from '../proxy/relay/relay-entry.ts'
import { relayTransports } from '../proxy/relay/relay-transport.ts'
import { Runtime } from '../proxy/runtime.ts'
import type { UpstreamServer } from '../proxy/upstream/upstream-server.ts'
import type { WorkerContext } from '../proxy/worker-context.ts'
import { type FromWorker, RELAY_PORT, type ToWorker, type WorkerStart } from './messages.ts'
import { WorkerLog } from './worker-log.ts'

const port = parentPort
if (port === null) throw new Error('worker.ts runs as a worker thread only')
const { index, options, counters: buffer } = workerData as WorkerStart

const post = (message: FromWorker) => port.postMessage(message)
const log = new WorkerLog(post)
const connections = new Set<ClientConnection>()
/** Connections of peers that relay requests through this replica. */
const relayed = new Set<ClientConnection>()
const sweep = new Sweep(nowMs => {
  forwarder.tick(runtime.services.values(), nowMs)
  reportOutcomes(nowMs)
  log.flush(nowMs)
})
const runtime = new Runtime(
  options.cookieKey,
  MIDDLEWARES,
  serverTransports(options, sweep),
  options.otherCookieKeys,
  options.keepTrailingSlash,
)
const forwarder = new Forwarder(
  options,
  sweep,
  {
    onEjection(server, out, cause, by) {
      if (server.peerName === '') {
        const forMs = out ? ejectedForMs(server) : 0
        post({ kind: 'ejection', service: server.service, server: server.id, out, cause, times: server.ejections, forMs, by })
      } else if (out) log.add('warn', `${server.peerName} cannot be reached: nothing is relayed through it (${cause})`, {})
      else log.add('info', `${server.peerName} can be reached again: requests may be relayed through it`, {})
    },
    onHealthReport(server, cause) {
      const { service, id, ejections: times } = server
      post({ kind: 'healthReport', service, server: id, cause, times, forMs: ejectedForMs(server) })
    },
    onReachabilityQuery(server) {
      post({ kind: 'reachQuery', service: server.service, server: server.id })
    },
    onReachable(server) {
      post({ kind: 'reachAnswer', service: server.service, server: server.id })
    },
    onReach(service, reachable, cause, through) {
      post({ kind: 'serviceReach', service, reachable, cause, through })
    },
    onSessions(service, { servers, rows }) {
      post({ kind: 'sessions', service, servers, rows })
    },
    onClaim(ticket, service, high, low, server) {
      post({ kind: 'claim', ticket, service, high, low, server })
    },
  },
  relayTransports(options, sweep),
)
const counters = new WorkerCounters(buffer, index)
counters.clearInFlight()
const context: WorkerContext = {
  options,
  sweep,
  runtime,
  forwarder,
  counters,
  ids: new RequestIds(options.name, index, Date.now()),
  breakerEvents: {
    probing: service => post({ kind: 'probing', service }),
    probed: (service, status, ms, networkError) => post({ kind: 'probed', service, status, ms, networkError }),
  },
  draining: false,
  closing: false,
  lingering: 0,
  log: (level, message, fields) => log.add(level, message, fields),
  access: (x, ms) => log.access(x, ms),
}
let stopping = false
const relayEntry = options.relay.listen === null || options.relay.keys.length === 0 ? null : new RelayEntry(context, relayed)
// If the thread ends with an error, responses in flight must look incomplete. Without this the kernel would send a FIN, which ends
// them cleanly.
process.once('exit', () => {
  for (const connection of [...connections, ...relayed]) connection.destroy()
})
const entryPoints = options.entryPoints.map(entryPoint => new EntryPoint(entryPoint, context, connections))

port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'listen':
      void listen(message.ports)
      return
    case 'snapshot':
      apply(message)
      return
    case 'health':
      runtime.setHealth(message.service, message.server, message.healthy, message.unreachable)
      return
    case 'ejection':
      for (const server of serversOf(message)) forwarder.watch.applyWorkerReport(server, message.out, message)
      return
    case 'remoteEjection':
      for (const server of serversOf(message)) forwarder.watch.applyHealthReport(server, message)
      return
    case 'peerReach':
      for (const server of serversOf(message)) forwarder.reachedBy(server, message.by, message.forMs)
      return
    case 'sessions':
      forwarder.sessions.applyRemote(runtime.services.get(message.service), message, performance.now())
      return
    case 'sessionKey':
      runtime.setSessionKey(message.key)
      return
    case 'claimed':
      forwarder.sessions.onClaimed(message.ticket)
      return
    case 'relays':
      forwarder.relays.setPeers(message.peers)
      return
    case 'serviceReach': {
      const service = runtime.services.get(message.service)
      if (service !== undefined) forwarder.relays.applyWorkerReport(service, message.reachable, performance.now())
      return
    }
    case 'gate':
      runtime.services.get(message.service)?.breaker?.setGate(message.gate, performance.now())
      return
    case 'announceDrain':
      context.draining = true
      return
    case 'drain':
      void drain(message.graceMs)
      return
  }
})

/**
 * Applies a snapshot. A validated snapshot should not throw. An error is caught nevertheless: it would end every worker, again after
 * each restart.
 */
function apply({ snapshot, slots }: Extract<ToWorker, { kind: 'snapshot' }>): void {
  try {
    for (const failure of runtime.apply(snapshot, slots)) log.add('warn', failure, {})
    post({ kind: 'applied', hash: snapshot.hash })
  } catch (error) {
    log.add('error', `cannot apply the configuration, the previous routes stay in use: ${(error as Error).message}`, {
      hash: snapshot.hash,
    })
  }
}

async function listen(ports: Readonly<Record<string, number>>): Promise<void> {
  const bound: Record<string, number> = {}
  const tryListen = async (name: string, open: () => Promise<number>) => {
    try {
      bound[name] = await open()
      return true
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      post({ kind: 'failed', entryPoint: name, code: code ?? '', message })
      return false
    }
  }
  for (const entryPoint of entryPoints) {
    const wanted = options.entryPoints.find(o => o.name === entryPoint.name)!
    if (!(await tryListen(entryPoint.name, () => entryPoint.listen(ports[entryPoint.name] ?? wanted.port)))) return
  }
  const { listen: relay } = options.relay
  if (relayEntry !== null && relay !== null) {
    if (!(await tryListen(RELAY_PORT, () => relayEntry.listen(relay.host, ports[RELAY_PORT] ?? relay.port)))) return
  }
  post({ kind: 'listening', ports: bound })
}

/** One task may be several servers of its service. */
function serversOf({ service, server: id }: { service: string; server: string }): readonly UpstreamServer[] {
  return runtime.services.get(service)?.servers.filter(server => server.id === id) ?? []
}

/** Time until an ejected server is probed, ms; 0 while a probe is in flight. */
function ejectedForMs({ probeAtMs }: UpstreamServer): number {
  return Number.isFinite(probeAtMs) ? Math.max(0, Math.round(probeAtMs - performance.now())) : 0
}

/** Reports the outcomes of requests for the circuit breakers. */
function reportOutcomes(nowMs: number): void {
  let services: Outcomes[] | null = null
  for (const { breaker } of runtime.services.values()) {
    const outcomes = breaker?.report(nowMs, context.breakerEvents) ?? null
    if (outcomes === null) continue
    if (services === null) services = [outcomes]
    else services.push(outcomes)
  }
  if (services !== null) post({ kind: 'outcomes', services })
}

async function drain(graceMs: number): Promise<void> {
  if (stopping) return
  stopping = true
  const endMs = performance.now() + graceMs
  // Close the listeners first: a client whose connection is closed reconnects at once and must not end up in this replica's queue.
  relayEntry?.close()
  await Promise.all(entryPoints.map(entryPoint => entryPoint.close()))
  context.draining = true
  context.closing = true
  const all = () => [...connections, ...relayed]
  for (const connection of all()) connection.drain()
  const timer = setInterval(() => {
    if (connections.size + relayed.size + (relayEntry?.size ?? 0) > 0 && performance.now() < endMs) return
    clearInterval(timer)
    for (const connection of all()) connection.destroy('cut off: the grace is over (--grace)')
    log.flush(performance.now())
    post({ kind: 'drained' })
  }, 50)
}
