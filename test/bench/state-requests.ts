// Measures the CPU cost of a feature per request: one replica with one service for each variant, all with the same servers. The services
// are loaded in turn with the same requests except for the host. A second service without any feature shows the difference that this
// measurement reports where there is none.

import { mkdirSync } from 'node:fs'
import { hostOf } from './cases.ts'
import { BenchReplica, LOOPBACK, startAll } from './cluster-replicas.ts'
import { threadsMicroseconds } from './cpu-clock.ts'
import { type Difference, difference, orderOf } from './paired.ts'
import { SessionClient } from './session-client.ts'
import { fillSessions, useAll } from './session-fill.ts'
import { loadSessions, type SessionFile, writeSessions } from './sessions-load.ts'
import { LEARN_LABELS, type Place, startWorld } from './state-world.ts'

export const FEATURES = ['cookie', 'learn', 'breaker'] as const
export type Feature = (typeof FEATURES)[number]
type Variant = 'plain' | 'again' | Feature

/** All variants exist in every run, so that the cost of one does not depend on the selection. */
const VARIANTS: readonly Variant[] = ['plain', 'again', ...FEATURES]
export const STICKY_COOKIE = 'stick'
const LABELS: Readonly<Record<Variant, Readonly<Record<string, string>>>> = {
  plain: {},
  again: {},
  cookie: {
    'traefik.backend.loadbalancer.stickiness': 'true',
    'traefik.backend.loadbalancer.stickiness.cookieName': STICKY_COOKIE,
  },
  learn: LEARN_LABELS,
  // All three functions, so that the breaker counts everything that it can.
  breaker: {
    'traefik.backend.circuitbreaker.expression':
      'NetworkErrorRatio() > 0.5 || LatencyAtQuantileMS(50.0) > 10000 || ResponseCodeRatio(500, 600, 0, 600) > 0.5',
  },
}
export const SERVERS = 3
export const SESSIONS = 100_000
const WARM_UP_SECONDS = 2

export interface RequestPlan extends Place {
  readonly features: readonly Feature[]
  readonly rounds: number
  readonly seconds: number
  readonly profile: string | null
  readonly progress: (text: string) => void
}

export interface RequestCosts {
  readonly added: Readonly<Partial<Record<Feature, Difference>>>
  /** The difference of the second service without a feature to the first. */
  readonly nothing: Difference
  /** Microseconds per request without a feature, one value for each round. */
  readonly plain: readonly number[]
}

export async function requestCosts(plan: RequestPlan): Promise<RequestCosts> {
  const world = await startWorld(
    plan,
    SERVERS,
    VARIANTS.map(variant => LABELS[variant]),
  )
  const place = { ...LOOPBACK, through: profiled(plan.profile) }
  const replica = await BenchReplica.create('requests', world.setting, place)
  try {
    await startAll([replica], false, hostOf(VARIANTS.length - 1))
    return await rounds(plan, replica, writeSessions(plan.directory, SESSIONS))
  } finally {
    await replica.stop()
    await world.stop()
  }
}

function profiled(directory: string | null): string[] {
  if (directory === null) return []
  mkdirSync(directory, { recursive: true })
  return ['env', `NODE_OPTIONS=--cpu-prof --cpu-prof-interval=500 --cpu-prof-dir=${directory}`]
}

async function rounds(plan: RequestPlan, replica: BenchReplica, sessions: SessionFile): Promise<RequestCosts> {
  const { features, directory, progress } = plan
  const variants = VARIANTS.filter(variant => variant === 'plain' || variant === 'again' || features.some(one => one === variant))
  const costs = new Map<Variant, number[]>(variants.map(variant => [variant, []]))
  const cookies = await stickyCookies(replica)
  let from = 0
  const load = async (variant: Variant, seconds: number): Promise<number> => {
    const before = threadsMicroseconds(replica.pid)
    const load = { port: replica.web, host: hostFor(variant), what: 'use', seconds, cookies, from } as const
    const { requests, errors } = await loadSessions(load, sessions, directory)
    const used = threadsMicroseconds(replica.pid) - before
    if (errors > 0 || requests === 0)
      throw new Error(`${variant}: ${errors} of ${requests} requests failed\n${replica.logTail()}`)
    return used / requests
  }
  const breakers = features.includes('breaker') ? await replica.page('breakers') : null
  if (breakers?.length === 0) throw new Error('the replica has no breaker')
  if (features.includes('learn')) {
    await fillSessions([replica], hostFor('learn'), sessions, directory)
    await useAll(replica, hostFor('learn'), sessions, directory)
  }
  for (const variant of variants) await load(variant, WARM_UP_SECONDS)
  for (let round = 0; round < plan.rounds; round++) {
    // The same sessions for all variants of a round, different ones in the next.
    from = Math.floor(Math.random() * sessions.ids.length)
    for (const variant of orderOf(variants, round)) costs.get(variant)?.push(await load(variant, plan.seconds))
    progress(
      `round ${round + 1} of ${plan.rounds}: ${[...costs].map(([name, all]) => `${name} ${all.at(-1)?.toFixed(2)}`).join(', ')}`,
    )
  }
  const plain = costs.get('plain') ?? []
  const against = (variant: Variant): Difference => difference(costs.get(variant) ?? [], plain)
  return {
    added: Object.fromEntries(features.map(feature => [feature, against(feature)])),
    nothing: against('again'),
    plain,
  }
}

function hostFor(variant: Variant): string {
  return hostOf(VARIANTS.indexOf(variant))
}

/** One sticky cookie for each server, as `name=value`. */
async function stickyCookies(replica: BenchReplica): Promise<string[]> {
  const byServer = new Map<string, string>()
  const client = new SessionClient(hostFor('cookie'))
  try {
    for (let requests = 0; requests < SERVERS * 10 && byServer.size < SERVERS; requests++) {
      const { server, setCookies } = await client.ask(replica, '/who')
      const [cookie = ''] = setCookies[0]?.split(';') ?? []
      if (cookie !== '') byServer.set(server, cookie)
    }
    if (byServer.size < SERVERS) throw new Error(`sticky cookies of ${byServer.size} servers, expected ${SERVERS}`)
    for (const [expected, cookie] of byServer) {
      const { server, setCookies } = await client.ask(replica, '/who', { cookie })
      if (server !== expected || setCookies.length > 0)
        throw new Error(`the sticky cookie ${cookie} leads to ${server}, not ${expected}`)
    }
  } finally {
    client.close()
  }
  return [...byServer.values()]
}
