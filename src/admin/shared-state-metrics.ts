// Metrics of shared state: the store, learned sessions, breakers and ejected servers. A service appears as a label value only if it
// has such state, so that thousands of services do not give thousands of series.

import type { Registry } from 'prom-client'
import type { RedisStatus, StoreStatus } from '../../cluster/store/model.ts'
import type { AdminSource, BreakerReport } from './admin-source.ts'
import { addCounter, addGauge, addLabeledCounter, addLabeledGauge } from './metric-kinds.ts'

const BREAKER_STATES: Readonly<Record<BreakerReport['state'], number>> = { closed: 0, open: 1, 'half-open': 2, recovering: 3 }

export function addSharedState(registry: Registry, source: AdminSource): void {
  const { store, sessions } = source.state()
  addStore(registry, store)
  if (store.redis !== null) addRedis(registry, store.redis)
  addLabeledGauge(registry, 'skein_sessions', 'Learned sessions that this replica holds.', 'service', Object.entries(sessions))
  addBreakers(registry, source.breakers())
  addLabeledGauge(
    registry,
    'skein_ejected_servers',
    'Ejected servers of the service; services without any are not listed.',
    'service',
    ejected(source),
  )
}

function addStore(registry: Registry, { entries, counts }: StoreStatus): void {
  addGauge(registry, 'skein_store_entries', 'Entries of shared state that this replica holds.', entries)
  addCounter(registry, 'skein_store_written_total', 'Entries that this replica wrote or removed.', counts.written)
  addLabeledCounter(registry, 'skein_store_received_total', 'Entries received from other members, by result.', 'result', {
    taken: counts.taken,
    outdated: counts.outdated,
    refused: counts.refused,
  })
  addLabeledCounter(
    registry,
    'skein_store_gone_total',
    'Entries removed because the store was full (evicted) or their time to live was over (expired).',
    'reason',
    {
      evicted: counts.evicted,
      expired: counts.expired,
    },
  )
  addCounter(registry, 'skein_store_repaired_total', 'Differences between members that were found and repaired.', counts.repaired)
  addLabeledCounter(registry, 'skein_store_batches_total', 'Messages with changes to and from other members.', 'direction', {
    out: counts.batchesSent,
    in: counts.batchesReceived,
  })
  addLabeledCounter(
    registry,
    'skein_store_pulls_total',
    'Whole states fetched from other members (in) and sent to them (out).',
    'direction',
    {
      out: counts.served,
      in: counts.pulls,
    },
  )
}

function addRedis(registry: Registry, { state, waiting, dropped, reseeded }: RedisStatus): void {
  addGauge(registry, 'skein_redis_up', '1 while Redis answers.', state === 'up' ? 1 : 0)
  addGauge(registry, 'skein_redis_waiting', 'Entries queued for Redis.', waiting)
  addCounter(registry, 'skein_redis_dropped_total', 'Entries not written to Redis because the queue was full.', dropped)
  addCounter(registry, 'skein_redis_reseeded_total', 'Entries written to Redis again after an outage.', reseeded)
}

function addBreakers(registry: Registry, breakers: readonly BreakerReport[]): void {
  const each = (value: (breaker: BreakerReport) => number): [string, number][] =>
    breakers.map(breaker => [breaker.service, value(breaker)])
  addLabeledGauge(
    registry,
    'skein_breaker_state',
    '0 closed, 1 open, 2 half-open, 3 recovering.',
    'service',
    each(({ state }) => BREAKER_STATES[state]),
  )
  addLabeledCounter(
    registry,
    'skein_breaker_opened_total',
    'Times that the breaker opened, as this replica saw it.',
    'service',
    Object.fromEntries(each(({ opened }) => opened)),
  )
  addLabeledCounter(
    registry,
    'skein_breaker_refused_requests_total',
    'Requests that this replica refused because of the breaker.',
    'service',
    Object.fromEntries(each(({ refusedRequests }) => refusedRequests)),
  )
}

function ejected(source: AdminSource): [string, number][] {
  return Object.entries(source.snapshot().services).flatMap(([name, { servers }]): [string, number][] => {
    const out = servers.filter(({ state }) => state === 'ejected').length
    return out === 0 ? [] : [[name, out]]
  })
}
