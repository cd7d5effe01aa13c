// Reads the servers and the headers of the health check of a backend in a Traefik v1 services file: `servers.one.url =
// "http://10.0.0.1:8080"`. A wrong server is left out and reported; the others are used.

import { isIPv4, isIPv6 } from 'node:net'
import type { Server } from '../../config/model.ts'
import { LIMITS } from '../../config/schema.ts'
import { hostLiteral } from '../../rules/literals.ts'
import type { Report } from '../shared/report.ts'
import { parseHeaders, parseInteger } from '../shared/values.ts'
import { entriesOf, kindName, type Place, plainText, tableOf, textOf } from './file-keys.ts'

const MAX_WEIGHT = 1_000_000
const MAX_UNKNOWN = 20

/** Servers of all files together: YAML aliases can multiply a few lines. */
export const MAX_SERVERS = 200_000

/**
 * The servers below `places`, without repetition, in the order of the file. `capacity`: what all backends together may still
 * add.
 */
export function readServers(places: readonly Place[], report: Report, capacity: { left: number }): readonly Server[] {
  const servers = new Map<string, { readonly server: Server; readonly key: string }>()
  let unknown = 0
  for (const place of places.flatMap(table => entriesOf(table, report))) {
    if (tableOf(place.value) === null) {
      report.error(
        place.key,
        maskUrl(plainText(place.value)),
        `expected a table with url, found ${kindName(place.value)}; left out`,
      )
      continue
    }
    let url: Place | null = null
    let weight: Place | null = null
    for (const entry of entriesOf(place, report)) {
      const name = entry.name.toLowerCase()
      if (name === 'url') url ??= entry
      else if (name === 'weight') weight ??= entry
      else if (unknown++ < MAX_UNKNOWN) report.warn(entry.key, plainText(entry.value), 'expected url or weight; ignored')
    }
    const server = readServer(place, url, weight, report)
    if (server === null) continue
    const duplicate = servers.get(server.id)
    if (duplicate !== undefined) {
      report.warn(
        url?.key ?? place.key,
        plainText(url?.value),
        `expected another server: ${duplicate.key} has this one; left out`,
      )
    } else if (servers.size === LIMITS.serversPerService) {
      report.error(place.key, '', `expected at most ${LIMITS.serversPerService} servers; the others were left out`)
      break
    } else if (capacity.left === 0) {
      report.error(place.key, '', `expected at most ${MAX_SERVERS} servers in all; the others were left out`)
      break
    } else {
      servers.set(server.id, { server, key: place.key })
      capacity.left--
    }
  }
  return [...servers.values()].map(({ server }) => server)
}

function readServer(place: Place, url: Place | null, weight: Place | null, report: Report): Server | null {
  const text = textOf(url?.value)?.trim() ?? ''
  const target = parseServerUrl(text)
  const weightOf = readWeight(weight, report)
  if (typeof target !== 'string') return { ...target, weight: weightOf, state: 'active', node: '' }
  report.error(url?.key ?? `${place.key}.url`, maskUrl(text), `expected ${target}; the server was left out`)
  return null
}

function readWeight(weight: Place | null, report: Report): number {
  if (weight === null || weight.value === null) return 1
  const text = textOf(weight.value) ?? ''
  const value = parseInteger(text, 0, MAX_WEIGHT)
  if (value === null) report.error(weight.key, text, `expected a whole number from 0 to ${MAX_WEIGHT}; 1 is used`)
  return value ?? 1
}

const EXPECTED = 'a URL such as http://10.0.0.1:8080 or https://app.test'

/** Parses the URL of a server. Returns a message about what was expected when it is none. */
export function parseServerUrl(text: string): Pick<Server, 'id' | 'scheme' | 'host' | 'port'> | string {
  if (text === '') return EXPECTED
  if (text.length > 2_048) return `${EXPECTED}, at most 2048 characters`
  const found = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/is.exec(text)
  if (found === null) return EXPECTED
  const [, written = '', authority = '', rest = ''] = found
  const scheme = written.toLowerCase()
  if (scheme === 'h2c') return `${EXPECTED}: h2c is not supported yet`
  if (scheme !== 'http' && scheme !== 'https') return `${EXPECTED}, found scheme ${JSON.stringify(scheme.slice(0, 20))}`
  if (authority.includes('@')) return `${EXPECTED}, without user and password`
  if (rest.includes('?') || rest.includes('#')) return `${EXPECTED}, without a query`
  if (rest !== '' && rest !== '/') return `${EXPECTED}, without a path (AddPrefix in a rule adds one)`
  const split = /^(\[[^\]]*\]|[^:]*)(?::([0-9]{0,5}))?$/s.exec(authority)
  if (split === null) return authority.split(':').length > 2 ? `${EXPECTED}; an IPv6 address needs brackets` : EXPECTED
  const host = hostOf(split[1] ?? '')
  if (host === null) return `${EXPECTED}, found host ${JSON.stringify((split[1] ?? '').slice(0, 60))}`
  const standard = scheme === 'http' ? 80 : 443
  const port = (split[2] ?? '') === '' ? standard : parseInteger(split[2] ?? '', 1, 65_535)
  if (port === null) return `${EXPECTED}, with a port from 1 to 65535`
  const at = `${host.includes(':') ? `[${host}]` : host}:${port}`
  return { id: scheme === 'http' ? at : `https://${at}`, scheme, host, port }
}

/** The host in canonical spelling, without brackets; null when it is invalid. */
function hostOf(written: string): string | null {
  if (written.startsWith('[')) {
    const address = written.slice(1, -1)
    // The shortest spelling, so that two spellings of one address are one server.
    return isIPv6(address) && !address.includes('%') ? new URL(`http://[${address}]`).hostname.slice(1, -1) : null
  }
  const host = hostLiteral(written)
  if (!host.ok || host.text.startsWith('[')) return null
  // Digits and dots only are meant as an address.
  return /^[0-9.]+$/.test(host.text) && !isIPv4(host.text) ? null : host.text
}

/** A URL for a report, without user and password. */
function maskUrl(text: string): string {
  return text.replace(/\/\/.*@/s, '//***@')
}

/** Headers as a label value, `Name:value||Other:value`. Invalid headers are left out and reported. */
export function readHeaders(places: readonly Place[], report: Report): string {
  const headers: string[] = []
  for (const entry of places.flatMap(place => entriesOf(place, report))) {
    const text = textOf(entry.value)
    const header = text === null || text.includes('||') ? null : parseHeaders(`${entry.name}:${text}`).headers
    if (header !== null && Object.hasOwn(header, entry.name)) headers.push(`${entry.name}:${text}`)
    else report.error(entry.key, plainText(entry.value), "expected a header's name and value, without '||'; it is not sent")
  }
  return headers.join('||')
}
