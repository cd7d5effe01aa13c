import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ConfigError } from '../../../../src/config/model.ts'
import type { DiscoveredService, EdgeNetworks } from '../../../../src/labels/shared/discovered.ts'
import { endpointsOf } from '../../../../src/labels/shared/instance-address.ts'
import { LabelSet } from '../../../../src/labels/shared/label-set.ts'
import { reportFor } from '../../../../src/labels/shared/report.ts'
import { ADDRESS_LABELS } from '../../../../src/labels/traefik-v1/label-names.ts'
import { at, found, task } from './services.ts'

function read(service: DiscoveredService, network: string | null = null, edges: EdgeNetworks | null = null) {
  const errors: ConfigError[] = []
  const written = new Map(Object.entries(service.labels).map(([key, value]) => [key.replace(/^traefik\./, ''), { key, value }]))
  const labels = new LabelSet<string>(written, 'traefik', reportFor('swarm', service.name, errors))
  const { list, sharesNoNetwork } = endpointsOf({ ...service, addressing: { network, edges } }, labels, ADDRESS_LABELS)
  return { addresses: list.map(e => e.address), sharesNoNetwork, errors }
}

const BOTH = [at('ingress', '10.255.0.3'), at('back', '10.0.2.3'), at('web', '10.0.1.3')]

test('the network of the label, then that of the options, then the first that is not ingress', () => {
  const cases: [label: string, option: string | null, address: string | undefined, errors: number][] = [
    ['', null, '10.0.2.3', 0],
    ['web', null, '10.0.1.3', 0],
    ['web-id', null, '10.0.1.3', 0],
    ['web', 'back', '10.0.1.3', 0],
    ['', 'web', '10.0.1.3', 0],
    // The option is a preference, the label is not.
    ['', 'other', '10.0.2.3', 1],
    ['other', null, undefined, 1],
  ]
  for (const [label, option, address, errors] of cases) {
    const result = read(found('a', { 'traefik.docker.network': label }, { instances: [task('t', { addresses: BOTH })] }), option)
    assert.is(result.addresses[0], address, `${label} ${option}`)
    assert.is(result.errors.length, errors)
  }
})

test("a network of the service's own stack may be named without the stack", () => {
  const service = found(
    'shop_web',
    { 'traefik.docker.network': 'front', 'com.docker.stack.namespace': 'shop' },
    { instances: [task('t', { addresses: [at('shop_front', '10.0.5.1')] })] },
  )
  const result = read(service)
  assert.equal(result.addresses, ['10.0.5.1'])
  assert.is(result.errors[0]?.severity, 'warning')
})

test('only tasks without an address there are left out, in one report', () => {
  const instances = [task('1'), task('2', { addresses: [] }), task('3', { addresses: [at('x', '10.0.9.1')] })]
  const result = read(found('a', { 'traefik.docker.network': 'web' }, { instances }))
  assert.equal(result.addresses, ['10.0.1.4'])
  assert.is(result.errors.length, 1)
  assert.match(result.errors[0]?.message ?? '', /2 of 3 tasks/)
})

test('a service on no network but the ingress: an error that says so', () => {
  const service = found('a', {}, { instances: [task('1', { addresses: [] })] })
  const { errors } = read(service)
  assert.match(errors[0]?.message ?? '', /network shared with the edge; 1 of 1 tasks have no address .* left out$/)
  assert.is(errors[0]?.severity, 'error')
})

test('invalid addresses are ignored', () => {
  const result = read(found('a', {}, { instances: [task('1', { addresses: [at('web', '10.0.1.4/24'), at('x', 'evil host')] })] }))
  assert.equal(result.addresses, [])
  assert.is(result.errors.length, 1)
})

test('the ingress network is used when there is no other', () => {
  assert.equal(read(found('a', {}, { instances: [task('1', { addresses: [at('ingress', '10.255.0.3')] })] })).addresses, [
    '10.255.0.3',
  ])
})

test('a virtual IP on the chosen network, or an error', () => {
  const labels = { 'traefik.backend.loadbalancer.swarm': 'true', 'traefik.docker.network': 'web' }
  assert.equal(read(found('a', labels, { virtualIps: [at('x', '10.0.9.2'), at('web', '10.0.1.2')] })).addresses, ['10.0.1.2'])
  const none = read(found('a', labels, { virtualIps: [at('x', '10.0.9.2')] }))
  assert.equal(none.addresses, [])
  assert.is(none.errors[0]?.severity, 'error')
})

test('networks of the edges known: only addresses on them are used', () => {
  const edges = { names: ['web'], outside: ['back-id', 'other-id'] }
  const cases: [label: string, option: string | null, address: string | undefined, severity: string | undefined][] = [
    ['', null, '10.0.1.3', undefined],
    ['web', null, '10.0.1.3', undefined],
    ['back', null, undefined, 'error'],
    ['', 'back', '10.0.1.3', 'warning'],
  ]
  for (const [label, network, address, severity] of cases) {
    const service = found('a', { 'traefik.docker.network': label }, { instances: [task('t', { addresses: BOTH })] })
    const result = read(service, network, edges)
    assert.is(result.addresses[0], address, `${label} ${network}`)
    assert.is(result.errors[0]?.severity, severity, `${label} ${network}`)
  }
})

test('out of reach: there are tasks, none of them usable, and no update may change that', () => {
  const edges = { names: ['web'], outside: ['back-id'] }
  const lost = { instances: [task('t', { addresses: [at('back', '10.0.2.3')] })] }
  assert.is(read(found('a', {}, lost), null, edges).sharesNoNetwork, true)
  assert.is(read(found('a', {}, { ...lost, updating: true }), null, edges).sharesNoNetwork, false)
  assert.is(read(found('a', {}, { instances: [] }), null, edges).sharesNoNetwork, false)
  assert.is(read(found('a', {}, { instances: [...lost.instances, task('2')] }), null, edges).sharesNoNetwork, false)
})

test.run()
