// The Upgrade field (RFC 9110, 7.8): the protocols to which a connection may be switched. After 101 a connection is raw bytes, so a
// protocol that carries HTTP would allow requests that bypass all rules and middlewares.

import { ID, STRIDE, UPGRADE } from '../message/fields.ts'
import type { Head } from '../message/head.ts'

/** protocol-name [ "/" protocol-version ] */
const PROTOCOL = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:\/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?$/
/** HTTP/2 in cleartext and its drafts, HTTP by version, and TLS (RFC 2817), which carries HTTP. */
const CARRIES_HTTP = /^(?:h2c?|http|tls)(?:[-/]|$)/i

/** All protocols in the Upgrade fields of a head, as one list. `head.upgradeField` must not be -1. */
export function upgradeList(head: Head): string {
  let list = head.value(head.upgradeField)
  for (let n = head.upgradeField + 1; n < head.count; n++) {
    if (head.at[n * STRIDE + ID] === UPGRADE) list += `, ${head.value(n)}`
  }
  return list
}

/** The same list without malformed protocols and those that carry HTTP; '' if none is left. */
export function tunnelProtocols(head: Head): string {
  const list = upgradeList(head)
  if (list === 'websocket') return list
  return list
    .split(',')
    .map(protocol => protocol.trim())
    .filter(protocol => PROTOCOL.test(protocol) && !CARRIES_HTTP.test(protocol))
    .join(', ')
}
