// Chooses the server of a request: the one of its sticky cookie, else the one of its learned session, else the balancer's pick.
// Choosing neither sends nor binds anything: a session is bound when the server has responded (sessions/sessions.ts). Only the
// Set-Cookie line is allocated.

import type { Exchange } from '../forward/exchange.ts'
import { NO_FIELDS } from '../message/field-list.ts'
import { isVerdictPending } from '../outlier/ejection.ts'
import type { Relays } from '../peers/relays.ts'
import type { RuntimeService } from '../runtime-service.ts'
import { SESSION_FOUND, SESSION_NONE, SESSION_UNREAD } from '../sessions/exchange-session.ts'
import { mayKeepSessions, type ServiceSessions } from '../sessions/service-sessions.ts'
import { readKey } from '../sessions/session-key.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { couldBeReached, IGNORE_EJECTION, isUnreached, reachableEverywhere } from './eligible.ts'
import { highest } from './rendezvous.ts'
import { StickyCookies, setCookie } from './sticky-cookie.ts'

const cookies = new StickyCookies()

/** A server of the service, or the peer that relays the request. */
export function findServer(x: Exchange, relays: Relays, nowMs: number): UpstreamServer | null {
  if (x.service!.relayed || x.attempt.failedConnects > 0) {
    const peer = relays.peerFor(x)
    if (peer !== null) {
      x.addedToResponse = NO_FIELDS
      return peer
    }
  }
  const server = chooseServer(x, nowMs)
  if (x.session.affinityUnavailable !== null && relays.enabled) {
    const sessionPeer = relays.sessionPeerFor(x, x.session.affinityUnavailable)
    if (sessionPeer !== null) {
      x.addedToResponse = NO_FIELDS
      x.session.binds = false
      return sessionPeer
    }
  }
  if ((server !== null && server.ejectedUntilMs <= nowMs) || !relays.enabled) return server
  const other = relays.alternativeTo(x, server)
  if (other !== server) x.addedToResponse = NO_FIELDS
  return other
}

/** The server for `x`, never one that it has tried; null if none may be used now. `nowMs` is monotonic. */
export function chooseServer(x: Exchange, nowMs: number): UpstreamServer | null {
  const service = x.service!
  const { servers, sessions } = service
  x.addedToResponse = NO_FIELDS
  x.session.affinityUnavailable = null
  const { sticky } = service.config
  if (sticky !== null && x.req.cookieField >= 0) {
    const bound = cookies.find(
      x.req,
      service.stickyNeedle,
      servers,
      x.attempt.tried,
      nowMs,
      service.warmServers(nowMs),
    ) as UpstreamServer | null
    x.session.affinityUnavailable = cookies.affinityUnavailable
    if (bound !== null) {
      x.session.state = SESSION_NONE
      x.session.binds = false
      if (cookies.renew) x.addedToResponse = setCookie(bound, cookies.tag)
      return bound
    }
  }
  const server =
    (sessions === null ? null : (serverOfSession(x, service, sessions, nowMs) as UpstreamServer | null)) ??
    pick(x, service, nowMs)
  if (server !== null && sticky !== null) x.addedToResponse = setCookie(server, '')
  return server
}

/**
 * The balancer's pick. A request that starts a cookie session (Skein's cookie or the application's) goes to a warm server if one
 * is usable.
 */
function pick(x: Exchange, service: RuntimeService, nowMs: number): UpstreamServer | null {
  const { balancer, servers } = service
  if (service.config.sticky !== null || service.config.learn?.from === 'cookie') {
    const warm = service.warmServers(nowMs)
    const server = warm.length === servers.length ? null : balancer.pick(warm, x.attempt.tried, x.clientAddress, nowMs)
    if (server !== null && server.ejectedUntilMs <= nowMs) return server as UpstreamServer
  }
  return balancer.pick(servers, x.attempt.tried, x.clientAddress, nowMs) as UpstreamServer | null
}

/** The entry of a session that was learned under another accepted key, copied to the key in use; -1: none. */
function findUnderOtherKey(x: Exchange, sessions: ServiceSessions, nowS: number): number {
  for (const hash of sessions.otherHashes) {
    if (!readKey(x, sessions.source, hash)) return -1
    const known = sessions.table.find(hash.high, hash.low, nowS)
    if (known >= 0) return sessions.rename(known, x.session.high, x.session.low, nowS)
  }
  return -1
}

/** The server of the request's session, or the server that the session is bound to by its response (`x.session.binds`). */
function serverOfSession(x: Exchange, service: RuntimeService, sessions: ServiceSessions, nowMs: number): UpstreamServer | null {
  if (x.session.state === SESSION_UNREAD) {
    x.session.state = readKey(x, sessions.source, sessions.hash) ? SESSION_FOUND : SESSION_NONE
    x.session.high = sessions.hash.high
    x.session.low = sessions.hash.low
  }
  if (x.session.state !== SESSION_FOUND) return null
  const { servers } = service
  const { tried } = x.attempt
  let entry = sessions.table.find(x.session.high, x.session.low, (nowMs / 1000) | 0)
  if (entry < 0 && sessions.otherHashes.length > 0) entry = findUnderOtherKey(x, sessions, (nowMs / 1000) | 0)
  const bound = entry < 0 ? null : sessions.serverOf(entry)
  x.session.entry = entry
  x.session.binds = false
  const { drain } = sessions.config
  if (bound !== null && mayKeepSessions(bound, drain, nowMs)) {
    if (tried === null || !tried.includes(bound)) return bound
    x.session.affinityUnavailable = bound
    // One failed attempt does not move a session: another server gets this request only.
    return highest(servers, tried, x.session.high, nowMs) ?? highest(servers, tried, x.session.high, IGNORE_EJECTION)
  }
  if (bound !== null && (mayKeepSessions(bound, drain, IGNORE_EJECTION) || isUnreached(bound)))
    x.session.affinityUnavailable = bound
  const warm = service.warmServers(nowMs)
  const first =
    (entry < 0 ? null : highest(reachableEverywhere(warm, nowMs), null, x.session.high, nowMs)) ??
    highest(warm, null, x.session.high, nowMs) ??
    highest(servers, null, x.session.high, nowMs)
  if (first === null) {
    // All servers are ejected. A session with a server stays there; otherwise all sessions would move now, and once more after the
    // re-admission.
    if (bound !== null && mayKeepSessions(bound, drain, IGNORE_EJECTION) && !tried?.includes(bound)) return bound
    x.session.binds = bound === null && tried === null
    return highest(servers, tried, x.session.high, IGNORE_EJECTION)
  }
  if (tried?.includes(first)) {
    return highest(servers, tried, x.session.high, nowMs) ?? highest(servers, tried, x.session.high, IGNORE_EJECTION)
  }
  // A session does not move while a connect to its server is unfinished, or while only other replicas have its server in their
  // configuration.
  const transient =
    bound === null ? entry >= 0 && sessions.mayAppear(entry, nowMs) : isVerdictPending(bound, nowMs) && couldBeReached(bound)
  x.session.binds = !transient
  return first
}
