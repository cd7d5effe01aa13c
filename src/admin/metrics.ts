// GET /metrics: the state of a replica and its cluster in Prometheus' text format. Everything is read from the admin source when it is
// requested. Names follow https://prometheus.io/docs/practices/naming; docs/metrics.md lists them.

import { Gauge, Registry } from 'prom-client'
import type { AdminSource, ClusterReport } from './admin-source.ts'
import { addCounter, addGauge, addLabeledCounter } from './metric-kinds.ts'
import { revisionLag } from './revision-lag.ts'
import { addSharedState } from './shared-state-metrics.ts'

/** Content-Type of the text format. */
export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE

const STATES = ['alive', 'suspect', 'draining', 'gone'] as const
const MANAGER_STATES = ['healthy', 'hanging', 'down', 'unknown'] as const

/** The whole text, with a final line feed. */
export function metricsText(source: AdminSource): Promise<string> {
  const registry = new Registry()
  const health = source.health()
  addGauge(registry, 'skein_build_info', 'Always 1; the version of Skein is in the label.', 1, { version: health.version })
  addGauge(registry, 'skein_uptime_seconds', 'Seconds since this replica started.', health.uptimeMs / 1000)
  addGauge(
    registry,
    'skein_serving',
    '1 while this replica serves, 0 while it starts or drains.',
    health.status === 'serving' ? 1 : 0,
  )
  addGauge(registry, 'skein_workers_ready', 'Data workers that serve.', health.workers.ready)
  addGauge(
    registry,
    'skein_config_synced',
    "1 if the configuration is current: read from a manager by this replica, or the leader's.",
    health.synced ? 1 : 0,
  )
  addGauge(registry, 'skein_config_revision_term', 'Term of the configuration that is served.', health.revision?.term ?? 0)
  addGauge(
    registry,
    'skein_config_revision_sequence',
    'Sequence, within its term, of the configuration that is served.',
    health.revision?.sequence ?? 0,
  )
  addGauge(registry, 'skein_config_routers', 'Routers of the configuration.', health.counts.routers)
  addGauge(registry, 'skein_config_services', 'Services of the configuration.', health.counts.services)
  addGauge(registry, 'skein_config_servers', 'Servers of all services.', health.counts.servers)
  addGauge(registry, 'skein_config_errors', 'Errors and warnings about labels and files.', health.counts.errors)
  const managers = source.managers().flatMap(provider => provider.managers)
  const states = new Gauge({
    name: 'skein_managers',
    help: 'Swarm managers by state, as this replica sees them.',
    labelNames: ['state'],
    registers: [registry],
  })
  for (const state of MANAGER_STATES) states.set({ state }, managers.filter(manager => manager.state === state).length)
  const cluster = source.cluster()
  if (cluster !== null) addCluster(registry, cluster)
  addSharedState(registry, source)
  return registry.metrics()
}

function addCluster(registry: Registry, cluster: ClusterReport): void {
  const { counts, relayed } = cluster
  addGauge(registry, 'skein_cluster_term', "Number of the leader's term.", cluster.term.number)
  addGauge(registry, 'skein_cluster_is_leader', '1 on the leader.', cluster.role === 'leader' ? 1 : 0)
  addGauge(registry, 'skein_cluster_has_leader', '1 if this replica leads or follows a leader.', cluster.leader === null ? 0 : 1)
  addGauge(
    registry,
    'skein_cluster_revision_lag',
    'Revisions that this replica is behind the leader; 1 while its revision is of another term.',
    revisionLag(cluster.revision, cluster.target),
  )
  const members = new Gauge({
    name: 'skein_cluster_members',
    help: 'Members as this replica sees them, itself included.',
    labelNames: ['state'],
    registers: [registry],
  })
  for (const state of STATES) members.set({ state }, cluster.members.filter(member => member.state === state).length)
  addGauge(registry, 'skein_cluster_connections', 'Open connections to other members.', cluster.connections.length)
  addLabeledCounter(registry, 'skein_cluster_messages_total', 'Messages to and from other members.', 'direction', {
    out: counts.sent,
    in: counts.received,
  })
  addLabeledCounter(registry, 'skein_cluster_bytes_total', 'Bytes of messages to and from other members.', 'direction', {
    out: counts.bytesSent,
    in: counts.bytesReceived,
  })
  addLabeledCounter(
    registry,
    'skein_cluster_dropped_messages_total',
    'Messages of other members that were dropped, by reason.',
    'reason',
    {
      limit: counts.dropped,
      malformed: counts.malformed,
      version: counts.unknownVersion,
      cluster: counts.otherCluster,
      replayed: counts.replayed,
    },
  )
  addLabeledCounter(registry, 'skein_cluster_pulls_total', 'Configurations fetched from another member.', 'result', {
    done: counts.pulls,
    failed: counts.pullsFailed,
  })
  addLabeledCounter(
    registry,
    'skein_cluster_dials_total',
    'Connections to other members that were tried, and that failed.',
    'result',
    {
      tried: counts.dials,
      failed: counts.dialsFailed,
    },
  )
  addCounter(registry, 'skein_cluster_elections_total', 'Elections in which this replica was a candidate.', counts.elections)
  addCounter(
    registry,
    'skein_cluster_leader_changes_total',
    'Changes of the leader, as this replica saw them.',
    counts.leaderChanges,
  )
  addGauge(
    registry,
    'skein_cluster_strangers',
    'Configured peer addresses at which a process outside of this cluster answers.',
    cluster.strangers.length,
  )
  addCounter(
    registry,
    'skein_cluster_refused_handshakes_total',
    'Inbound connections to the cluster port that did not hold a secret of this replica.',
    counts.handshakesRefused,
  )
  addGauge(
    registry,
    'skein_cluster_option_differences',
    "Options of members that differ from the leader's and would give another configuration.",
    cluster.differences.length,
  )
  addGauge(
    registry,
    'skein_relaying_services',
    'Services whose requests are relayed through a peer now.',
    cluster.relaying.length,
  )
  addLabeledCounter(
    registry,
    'skein_relayed_requests_total',
    'Requests relayed to peers (out) and taken from peers (in).',
    'direction',
    {
      out: relayed.out,
      in: relayed.in,
    },
  )
  addCounter(
    registry,
    'skein_relay_failed_total',
    'Requests that could not be relayed because no peer could take them.',
    relayed.failed,
  )
}
