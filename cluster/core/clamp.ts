// Clamps this member's own messages to LIMITS, so that receivers, which reject messages beyond LIMITS, accept them. Also holds
// the formats that sender and receiver share. Pure.

import { LIMITS, type LocalState } from './state.ts'

/** Bytes of local state as JSON. The rest of LIMITS.message is for event keys (up to 24 KiB), suspects and the envelope. */
const LOCAL_BYTES = 24 * 1024
const INLINE_BYTES = LIMITS.message - 4096

/** Control characters, surrogates, line and paragraph separators, and bidirectional controls. None of them may reach a log. */
export const UNPRINTABLE = /[\p{Cc}\p{Cs}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** An address in messages: a host name or an IP literal (IPv6 in brackets), and a port. */
export const HOST_PORT = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})$/

/** An interface address in messages, with its prefix length. */
export const CIDR = /^[0-9a-fA-F:.]{2,45}\/[0-9]{1,3}$/

/** An option name in messages: the flag without its dashes. */
export const OPTION_NAME = /^[a-z][a-z0-9-]{0,47}$/

/** Replaces unprintable characters by `?` and cuts to LIMITS.text characters. */
export function clampText(text: string): string {
  const printable = text.replace(UNPRINTABLE, '?')
  return printable.length <= LIMITS.text ? printable : printable.slice(0, LIMITS.text).replace(UNPRINTABLE, '?')
}

export function clampLocal(local: LocalState): LocalState {
  const fits = local.unreachable.length <= LIMITS.unreachable
  const fitted: LocalState = {
    manager: local.manager === null ? null : clampText(local.manager),
    managerHealthy: local.managerHealthy,
    unreachable: local.unreachable.slice(0, LIMITS.unreachable).map(clampText),
    unreachableAll: local.unreachableAll || !fits,
    seen: local.seen.slice(-LIMITS.seen).map(clampText),
    addresses: clampAddresses(local.addresses),
    relay: clampAddresses(local.relay),
    ...(local.options === undefined ? {} : { options: clampOptions(local.options) }),
    ...(fitsNetworks(local.networks) ? { networks: local.networks } : {}),
    ...(local.secretState === undefined ? {} : { secretState: local.secretState }),
  }
  if (jsonBytes(fitted) <= LOCAL_BYTES) return fitted
  return { ...fitted, unreachable: [], unreachableAll: true, seen: [] }
}

function clampOptions(options: NonNullable<LocalState['options']>): Record<string, string> {
  const named = Object.entries(options).filter(([name]) => OPTION_NAME.test(name))
  return Object.fromEntries(named.slice(0, LIMITS.options).map(([name, value]) => [name, clampText(value)]))
}

/** All networks or none: a shortened list would state that the member is on no other network. */
function fitsNetworks(networks: readonly string[] | undefined): networks is readonly string[] {
  return networks !== undefined && networks.length <= LIMITS.networks && networks.every(each => CIDR.test(each))
}

function clampAddresses(addresses: readonly string[]): string[] {
  return addresses.filter(address => address.length <= LIMITS.text && HOST_PORT.test(address)).slice(0, LIMITS.addresses)
}

/** True when a body is small enough to be sent inside its announcement. */
export function fitsInline(body: string): boolean {
  return body.length <= LIMITS.inlineBody && jsonBytes(body) <= INLINE_BYTES
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value))
}
