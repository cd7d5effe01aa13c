// Sticky cookies without shared state. The cookie names a server by a keyed hash: it reveals no address, cannot be forged, and
// every replica with the same key reads it. The last four letters are a random tag of the session: when its server is gone, every
// replica moves the session to the same other server, and the sessions of one server spread over all others.
// Cookies written by Traefik v1 (the URL of a server) lead to that server, so a migration keeps sessions. Cookie fields are
// scanned in place and in linear time; malformed values are ignored. Sources: RFC 6265;
// https://doc.traefik.io/traefik/v1.7/basics/#sticky-sessions.

import { createHmac } from 'node:crypto'
import type { StickyCookie } from '../../config/model.ts'
import { FieldList } from '../message/field-list.ts'
import type { Head } from '../message/head.ts'
import { isVerdictPending } from '../outlier/ejection.ts'
import { CookieScan } from '../sessions/cookie-scan.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { couldBeReached, IGNORE_EJECTION, keepsSessions, reachableEverywhere } from './eligible.ts'
import { hashString, highest } from './rendezvous.ts'

const VALUE_BYTES = 16
const VALUE_LENGTH = 22
/** The tag is the end of the value. The part before it, 108 bits, is compared. */
const TAG_LENGTH = 4
const MARK_LENGTH = VALUE_LENGTH - TAG_LENGTH
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
/** Longest URL of a server: an IPv6 address with its port, or a DNS name. */
const MAX_URL_LENGTH = 280

const scan = new CookieScan()

/**
 * Computes the cookie values of every server. Called when a snapshot is applied, never per request. Cookies made under
 * `otherKeys` lead to their server too, and are renewed under `cookieKey`.
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
    server.cookieStart = `${sticky.name}=${server.cookieMark}`
    server.cookieEnd = cookieAttributes(sticky)
    server.traefikValue = traefikValueOf(server)
  }
}

/** 128 bits of HMAC-SHA256 over service and server as base64url: 22 characters, the whole value of cookies without a tag. */
export function cookieValueOf(cookieKey: string, service: string, serverId: string): string {
  const digest = createHmac('sha256', cookieKey).update(`${service}\0${serverId}`).digest()
  return digest.subarray(0, VALUE_BYTES).toString('base64url')
}

/** The value of Traefik v1's cookie: the URL of the server. */
function traefikValueOf({ scheme, host, port }: UpstreamServer): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The Set-Cookie field; `tag` keeps the tag of a session that moves, '' makes a new one. */
export function setCookie(server: UpstreamServer, tag: string): FieldList {
  return new FieldList('Set-Cookie', server.cookieStart + (tag === '' ? newTag() : tag) + server.cookieEnd)
}

/** Tags need not be hard to guess. */
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
  /** After `find`: the cookie must be set again, for the server that `find` returned. */
  renew = false
  /** After `find`: the tag of that cookie. */
  tag = ''
  /** After `find`: the server that the cookie names, if it is not used because it is ejected or has just failed the request. */
  affinityUnavailable: UpstreamServer | null = null

  /**
   * The server that the request's cookie leads to; null if there is no valid cookie or no usable server. Of several cookies, the
   * first one that names a usable server wins, then the first that is well-formed. `needle` is the cookie name with its `=`.
   * Sessions that move go to one of `candidates` if possible.
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
        // One failed attempt does not move a session: another server gets this request only.
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
    // A slow connect may still succeed, or a peer may reach the server. No session moves before that is known.
    this.renew = this.affinityUnavailable === null || !isVerdictPending(this.affinityUnavailable, nowMs)
    const other =
      highest(reachableEverywhere(candidates, nowMs), tried, hash, nowMs) ??
      highest(candidates, tried, hash, nowMs) ??
      highest(servers, tried, hash, nowMs)
    if (other !== null) return other
    // All servers are ejected: sessions stay on their servers.
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

/** The cookie's attributes in Traefik's order. SameSite=None implies Secure, because browsers reject it otherwise. */
export function cookieAttributes(sticky: StickyCookie): string {
  let text = '; Path=/'
  if (sticky.httpOnly) text += '; HttpOnly'
  if (sticky.secure || sticky.sameSite === 'none') text += '; Secure'
  if (sticky.sameSite === 'none') text += '; SameSite=None'
  else if (sticky.sameSite === 'lax') text += '; SameSite=Lax'
  else if (sticky.sameSite === 'strict') text += '; SameSite=Strict'
  return text
}

/** The server named by the value at `from`..`to`, in Skein's form or in Traefik's. */
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

/** True if the value has the length of Skein's cookies and only their characters, so that it ends with a tag. */
function hasTag(text: string, from: number, to: number): boolean {
  return to - from === VALUE_LENGTH && isBase64UrlText(text, from, to)
}

/**
 * The hash that selects the next server of a session. Only the tag counts: two services whose cookies have the same name
 * overwrite each other's cookie, and still find the same servers every time.
 */
function hashOf(text: string, from: number, to: number): number {
  return hashString(text, hasTag(text, from, to) ? to - TAG_LENGTH : from, to)
}

/** True if the value may name a server that no longer exists. */
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
