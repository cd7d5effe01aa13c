// Cookie stickiness without shared state: the cookie names a server by a keyed hash, so that no address leaks, nobody can make up
// a name, and any replica with the same key understands it. A few random letters behind it are the session's own: one whose
// server is gone moves to the same other one on every replica, and all that were there do not move to one. Those that Traefik v1
// wrote (a server's URL) lead to that server, so that a migration keeps sessions. Cookie headers are read strictly, in place, in
// bounded time: garbage is ignored, and a request without the cookie costs one search. Spec: RFC 6265; design, section 7; Traefik
// 1.7, "stickiness".

import { createHmac } from 'node:crypto'
import type { StickyCookie } from '../../config/model.ts'
import type { Head } from '../message/head.ts'
import { isVerdictPending } from '../outlier/ejection.ts'
import { CookieScan } from '../sessions/cookie-scan.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { couldBeReached, IGNORE_EJECTION, keepsSessions, reachableEverywhere } from './eligible.ts'
import { hashString, highest } from './rendezvous.ts'

const VALUE_BYTES = 16
const VALUE_LENGTH = 22
/** Of these the last are the session's own; the others, 108 bits, are compared. */
const TAG_LENGTH = 4
const MARK_LENGTH = VALUE_LENGTH - TAG_LENGTH
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
/** Longest URL of a server, an IPv6 address with its port, with room for a DNS name. */
const MAX_URL_LENGTH = 280

const scan = new CookieScan()

/**
 * Gives every server what its cookie is compared with and set by. To be called when a snapshot is applied, never per request.
 * Cookies made under `otherKeys` lead to their server too, and are renewed under `cookieKey`.
 */
export function prepareSticky(
  cookieKey: string,
  service: string,
  sticky: StickyCookie,
  servers: readonly UpstreamServer[],
  otherKeys: readonly string[] = [],
): void {
  for (const server of servers) {
    if (server.cookieMark === '') {
      const markOf = (key: string): string => cookieValueOf(key, service, server.id).slice(0, MARK_LENGTH)
      server.cookieMark = markOf(cookieKey)
      server.otherMarks = otherKeys.map(markOf)
    }
    server.cookieStart = `Set-Cookie: ${sticky.name}=${server.cookieMark}`
    server.cookieEnd = `${cookieAttributes(sticky)}\r\n`
    server.traefikValue = traefikValueOf(server)
  }
}

/** HMAC-SHA256 of service and server, 128 bits of it, base64url: 22 characters, as cookies without a tag had them. */
export function cookieValueOf(cookieKey: string, service: string, serverId: string): string {
  const digest = createHmac('sha256', cookieKey).update(`${service}\0${serverId}`).digest()
  return digest.subarray(0, VALUE_BYTES).toString('base64url')
}

/** What Traefik v1 writes into its cookie: the server's URL. */
function traefikValueOf({ scheme, host, port }: UpstreamServer): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The whole line that sets the cookie; `tag` of the session's last one, '' for a new session. */
export function setCookieLine(server: UpstreamServer, tag: string): string {
  return server.cookieStart + (tag === '' ? newTag() : tag) + server.cookieEnd
}

/** Nothing depends on its being hard to guess. */
function newTag(): string {
  let bits = Math.random() * 2 ** (6 * TAG_LENGTH)
  let tag = ''
  for (let n = 0; n < TAG_LENGTH; n++) {
    tag += BASE64URL[bits & 63]
    bits >>>= 6
  }
  return tag
}

export class StickyCookies {
  /** The cookie is to be set anew to the server that `find` returned ... */
  renew = false
  /** ... with this tag. */
  tag = ''
  /** The server that the cookie names, where it is not used: it is ejected, or has just failed the request. */
  affinityUnavailable: UpstreamServer | null = null

  /**
   * The server that the request's cookie leads to; null if no cookie says anything, or no server may be used. Of several cookies
   * the first counts that names a server that may be used, else the first that could have named one. `needle` is the cookie's
   * name with its `=`; `candidates` are those to whom clients move rather than to others.
   */
  find(
    req: Head,
    needle: string,
    servers: readonly UpstreamServer[],
    tried: readonly UpstreamServer[] | null,
    nowMs: number,
    candidates: readonly UpstreamServer[] = servers,
  ): UpstreamServer | null {
    this.renew = false
    this.tag = ''
    this.affinityUnavailable = null
    const { text } = req
    let from = -1
    let to = -1
    let ejected: UpstreamServer | null = null
    scan.begin(req, needle)
    while (scan.next()) {
      const server = serverNamedBy(servers, text, scan.from, scan.to)
      if (server !== null && keepsSessions(server, null, nowMs)) {
        const hasFailed = tried?.includes(server) === true
        this.renew = !hasFailed && !text.startsWith(server.cookieMark, scan.from)
        // One failed try does not move anybody: elsewhere, but for this request only.
        if (!hasFailed) return server
        this.affinityUnavailable = server
        return elsewhere(servers, tried, hashOf(text, scan.from, scan.to), nowMs)
      }
      if (from >= 0 || (server === null && !looksValid(text, scan.from, scan.to))) continue
      from = scan.from
      to = scan.to
      ejected = server
    }
    if (from < 0) return null
    const hash = hashOf(text, from, to)
    if (hasTag(text, from, to)) this.tag = text.slice(to - TAG_LENGTH, to)
    if (ejected !== null && couldBeReached(ejected)) this.affinityUnavailable = ejected
    // A connect that takes long may yet stand, another replica may reach it: until that is known nobody moves.
    this.renew = this.affinityUnavailable === null || !isVerdictPending(this.affinityUnavailable, nowMs)
    const other =
      highest(reachableEverywhere(candidates, nowMs), tried, hash, nowMs) ??
      highest(candidates, tried, hash, nowMs) ??
      highest(servers, tried, hash, nowMs)
    if (other !== null) return other
    // When all are ejected everybody stays where he is.
    if (ejected !== null && keepsSessions(ejected, tried, IGNORE_EJECTION)) {
      this.renew = !text.startsWith(ejected.cookieMark, from)
      return ejected
    }
    return highest(servers, tried, hash, IGNORE_EJECTION)
  }
}

function elsewhere(
  servers: readonly UpstreamServer[],
  tried: readonly UpstreamServer[] | null,
  hash: number,
  nowMs: number,
): UpstreamServer | null {
  return highest(servers, tried, hash, nowMs) ?? highest(servers, tried, hash, IGNORE_EJECTION)
}

/** What follows the value, in an order that people know from Traefik. SameSite=None means Secure, or browsers refuse it. */
export function cookieAttributes(sticky: StickyCookie): string {
  let text = '; Path=/'
  if (sticky.httpOnly) text += '; HttpOnly'
  if (sticky.secure || sticky.sameSite === 'none') text += '; Secure'
  if (sticky.sameSite === 'none') text += '; SameSite=None'
  else if (sticky.sameSite === 'lax') text += '; SameSite=Lax'
  else if (sticky.sameSite === 'strict') text += '; SameSite=Strict'
  return text
}

/** The server whose value stands at `from`..`to`, in our form or Traefik's. */
function serverNamedBy(servers: readonly UpstreamServer[], text: string, from: number, to: number): UpstreamServer | null {
  const length = to - from
  if (length === VALUE_LENGTH) {
    const first = text.charCodeAt(from)
    for (let i = 0; i < servers.length; i++) {
      const mark = servers[i]!.cookieMark
      if (mark.charCodeAt(0) === first && text.startsWith(mark, from))
        return isBase64UrlText(text, from + MARK_LENGTH, to) ? servers[i]! : null
    }
    for (let i = 0; i < servers.length; i++) {
      const { otherMarks } = servers[i]!
      for (let n = 0; n < otherMarks.length; n++)
        if (text.startsWith(otherMarks[n]!, from)) return isBase64UrlText(text, from + MARK_LENGTH, to) ? servers[i]! : null
    }
  }
  if (!text.startsWith('http', from)) return null
  for (let i = 0; i < servers.length; i++) {
    const url = servers[i]!.traefikValue
    if (url.length === length && text.startsWith(url, from)) return servers[i]!
  }
  return null
}

/** Traefik's have none, though they may be as long. */
function hasTag(text: string, from: number, to: number): boolean {
  return to - from === VALUE_LENGTH && isBase64UrlText(text, from, to)
}

/**
 * By which it is decided where the session goes: its tag alone, so that of two services whose cookies have one name, and which
 * overwrite each other's, each finds the same server every time.
 */
function hashOf(text: string, from: number, to: number): number {
  return hashString(text, hasTag(text, from, to) ? to - TAG_LENGTH : from, to)
}

/** It could be the value of a server that is not there any more. */
function looksValid(text: string, from: number, to: number): boolean {
  const length = to - from
  if (hasTag(text, from, to)) return true
  if (length > MAX_URL_LENGTH || !text.startsWith('http', from)) return false
  return /^https?:\/\/(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.%]+\]):[0-9]{1,5}$/.test(text.slice(from, to))
}

function isBase64UrlText(text: string, from: number, to: number): boolean {
  let at = from
  while (at < to && isBase64Url(text.charCodeAt(at))) at++
  return at === to
}

function isBase64Url(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code >= 48 && code <= 57) || code === 45 || code === 95
}
