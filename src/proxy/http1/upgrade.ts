// The Upgrade field (RFC 9110, 7.8): which protocols a connection may be switched to. After 101 a connection is raw, so a protocol
// that carries HTTP would let a client send requests that no rule and no middleware sees.

import { ID, STRIDE, UPGRADE } from '../message/fields.ts'
import type { Head } from '../message/head.ts'

/** protocol-name [ "/" protocol-version ] */
const PROTOCOL = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:\/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?$/
/** HTTP/2 in plain text and its drafts, HTTP by version, and TLS (RFC 2817), within which HTTP goes on. */
const CARRIES_HTTP = /^(?:h2c?|http|tls)(?:[-/]|$)/i

/** All that the Upgrade fields of a head name, as one list. `head.upgradeField` must not be -1. */
export function upgradeList(head: Head): string {
  let list = head.value(head.upgradeField)
  for (let n = head.upgradeField + 1; n < head.count; n++) {
    if (head.at[n * STRIDE + ID] === UPGRADE) list += `, ${head.value(n)}`
  }
  return list
}

/** The same without malformed protocols and without those that carry HTTP; '' when none is left. */
export function tunnelProtocols(head: Head): string {
  const list = upgradeList(head)
  if (list === 'websocket') return list
  return list
    .split(',')
    .map(protocol => protocol.trim())
    .filter(protocol => PROTOCOL.test(protocol) && !CARRIES_HTTP.test(protocol))
    .join(', ')
}
