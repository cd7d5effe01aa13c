// Cookie stickiness without shared state: the cookie names a server by a keyed hash, so that no address leaks, nobody can make up
// a name, and any replica with the same key understands it. Cookie headers are read strictly, in place, in bounded time: garbage
// is ignored, and a request without the cookie costs one search. Spec: RFC 6265; design, section 7; Traefik 1.7, "stickiness".

import { createHmac } from 'node:crypto'
import type { StickyCookie } from '../../config/model.ts'
import type { UpstreamServer } from '../upstream-server.ts'
import { isEligible } from './eligible.ts'

const VALUE_BYTES = 16
const VALUE_LENGTH = 22
/** Cookies of the name looked at in one request; a browser sends one, rarely two (paths), an attacker thousands. */
const MAX_COOKIES = 8

const TAB = 9
const SPACE = 32
const EQUALS = 61
const SEMICOLON = 59

/** Gives every server its cookie value (once in its life). To be called when a snapshot is applied, never per request. */
export function prepareSticky(cookieKey: string, service: string, servers: readonly UpstreamServer[]): void {
  for (const server of servers) if (server.cookieValue === '') server.cookieValue = cookieValueOf(cookieKey, service, server.id)
}

/** HMAC-SHA256 of service and server, 128 bits of it, base64url: 22 characters. */
export function cookieValueOf(cookieKey: string, service: string, serverId: string): string {
  const digest = createHmac('sha256', cookieKey).update(`${service}\0${serverId}`).digest()
  return digest.subarray(0, VALUE_BYTES).toString('base64url')
}

/**
 * The server that the request's cookie names, if it may be used now and has not been tried; null otherwise. Of several cookies
 * with the name the first that leads to such a server counts. `cookieHeaders` are the values of all Cookie headers.
 */
export function findSticky(
  cookieHeaders: readonly string[],
  name: string,
  servers: readonly UpstreamServer[],
  tried: readonly UpstreamServer[] | null = null,
  nowMs: number = performance.now(),
): UpstreamServer | null {
  if (name === '') return null
  let left = MAX_COOKIES
  for (let i = 0; i < cookieHeaders.length; i++) {
    const header = cookieHeaders[i]!
    let from = header.indexOf(name)
    while (from !== -1) {
      const at = from + name.length
      if (header.charCodeAt(at) === EQUALS && startsPair(header, from)) {
        const server = endsPair(header, at + 1 + VALUE_LENGTH) ? named(servers, header, at + 1) : null
        if (server !== null && isEligible(server, tried, nowMs)) return server
        if (--left === 0) return null
      }
      from = header.indexOf(name, at)
    }
  }
  return null
}

/** The Set-Cookie value, in an order that people know from Traefik. SameSite=None means Secure, or browsers refuse it. */
export function setCookieHeader(sticky: StickyCookie, value: string): string {
  let text = `${sticky.name}=${value}; Path=/`
  if (sticky.httpOnly) text += '; HttpOnly'
  if (sticky.secure || sticky.sameSite === 'none') text += '; Secure'
  if (sticky.sameSite === 'none') text += '; SameSite=None'
  else if (sticky.sameSite === 'lax') text += '; SameSite=Lax'
  else if (sticky.sameSite === 'strict') text += '; SameSite=Strict'
  return text
}

/** Nothing but white space between `at` and the start of the header or the semicolon before it. */
function startsPair(header: string, at: number): boolean {
  let before = at - 1
  while (before >= 0 && isBlank(header.charCodeAt(before))) before--
  return before < 0 || header.charCodeAt(before) === SEMICOLON
}

/** Nothing but white space between `at` and the end of the header or the next semicolon. */
function endsPair(header: string, at: number): boolean {
  if (at > header.length) return false
  let after = at
  while (after < header.length && isBlank(header.charCodeAt(after))) after++
  return after === header.length || header.charCodeAt(after) === SEMICOLON
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB
}

function named(servers: readonly UpstreamServer[], header: string, at: number): UpstreamServer | null {
  const first = header.charCodeAt(at)
  for (let i = 0; i < servers.length; i++) {
    const value = servers[i]!.cookieValue
    if (value.length === VALUE_LENGTH && value.charCodeAt(0) === first && header.startsWith(value, at)) return servers[i]!
  }
  return null
}
