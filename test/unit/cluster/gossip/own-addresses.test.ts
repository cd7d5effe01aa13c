// The addresses that a member announces, and recognizing its own.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type InterfaceAddress,
  interfaceNetworks,
  isOwnAddress,
  reachableAddresses,
} from '../../../../cluster/gossip/own-addresses.ts'

const interfaces: readonly InterfaceAddress[] = [
  { address: '127.0.0.1', family: 4, internal: true },
  { address: 'fd00::5', family: 6, internal: false },
  { address: '10.0.1.5', family: 4, internal: false },
]

test('advertised addresses are announced with the port', () => {
  assert.equal(reachableAddresses({ host: '0.0.0.0', port: 7 }, ['192.0.2.1', 'fd00::9'], interfaces), [
    '192.0.2.1:7',
    '[fd00::9]:7',
  ])
})

test('otherwise interface addresses are announced, IPv4 first, of the listening family only', () => {
  assert.equal(reachableAddresses({ host: '::', port: 7 }, [], interfaces), ['10.0.1.5:7', '[fd00::5]:7'])
  assert.equal(reachableAddresses({ host: '0.0.0.0', port: 7 }, [], interfaces), ['10.0.1.5:7'])
  assert.equal(reachableAddresses({ host: '127.0.0.1', port: 7 }, [], interfaces), ['127.0.0.1:7'])
  assert.equal(reachableAddresses({ host: '0.0.0.0', port: 7 }, [], interfaces.slice(0, 1)), ['127.0.0.1:7'])
})

test('at most as many as a message may contain', () => {
  const many = Array.from({ length: 50 }, (_, i): InterfaceAddress => ({ address: `10.0.0.${i}`, family: 4, internal: false }))
  assert.is(reachableAddresses({ host: '0.0.0.0', port: 7 }, [], many).length, 8)
})

test('an address is its own when port and host match the listening socket', () => {
  const all = { host: '0.0.0.0', port: 7 }
  assert.ok(isOwnAddress({ host: '10.0.1.5', port: 7 }, all, interfaces))
  assert.ok(isOwnAddress({ host: '127.0.0.9', port: 7 }, all, interfaces))
  assert.not(isOwnAddress({ host: '10.0.1.5', port: 8 }, all, interfaces))
  assert.not(isOwnAddress({ host: '10.0.1.6', port: 7 }, all, interfaces))
  assert.not(isOwnAddress({ host: '127.0.0.2', port: 7 }, { host: '127.0.0.1', port: 7 }, interfaces))
})

test('networks are those of the interfaces, without loopback and link-local ones', () => {
  const on = (address: string, prefix: number | null, internal = false) => ({
    address,
    netmask: '',
    mac: '',
    internal,
    cidr: prefix === null ? null : `${address}/${prefix}`,
    ...(address.includes(':') ? { family: 'IPv6' as const, scopeid: 0 } : { family: 'IPv4' as const }),
  })
  const listed = {
    lo: [on('127.0.0.1', 8, true), on('::1', 128, true)],
    eth1: [on('172.18.0.3', 16), on('fe80::1', 64)],
    eth0: [on('10.0.1.7', 24), on('fd00::7', 64), on('10.0.1.7', 24)],
    tun: [on('10.9.9.9', null)],
    none: undefined,
  }
  assert.equal(interfaceNetworks(listed), ['10.0.1.7/24', '172.18.0.3/16', 'fd00::7/64'])
})

test.run()
