// Requests that an agent allows, and fields that it removes from responses.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkRequest, filterResponse } from '../../../src/agent/allow-list.ts'
import { rawNode, rawService, rawTask } from '../providers/swarm/objects.ts'

const filters = (value: unknown): string => `filters=${encodeURIComponent(JSON.stringify(value))}`

for (const [target, path] of [
  ['/_ping', '/_ping'],
  ['/version', '/version'],
  ['/v1.41/info', '/info'],
  ['/v1.100/nodes', '/nodes'],
  ['/services', '/services'],
  ['/networks', '/networks'],
  ['/containers/json?all=1', '/containers/json?all=1'],
] as const) {
  test(`GET ${target} is allowed`, () => {
    const verdict = checkRequest('GET', target)
    assert.ok(verdict.ok && verdict.path === path, JSON.stringify(verdict))
  })
}

test('filters that discovery uses are forwarded', () => {
  const verdict = checkRequest('GET', `/tasks?${filters({ 'desired-state': ['running'], service: ['a', 'b'] })}`)
  assert.ok(verdict.ok)
  if (verdict.ok)
    assert.equal(JSON.parse(new URL(verdict.path, 'http://x').searchParams.get('filters') ?? ''), {
      'desired-state': ['running'],
      service: ['a', 'b'],
    })
})

test('only events of the swarm are sent, whatever was requested', () => {
  for (const target of ['/events', `/events?${filters({ type: ['container', 'secret'] })}`]) {
    const verdict = checkRequest('GET', target)
    assert.ok(verdict.ok)
    if (!verdict.ok) continue
    assert.equal(JSON.parse(new URL(verdict.path, 'http://x').searchParams.get('filters') ?? ''), {
      type: ['service', 'node', 'network'],
      scope: ['swarm'],
    })
  }
})

for (const [method, target] of [
  ['POST', '/services'],
  ['DELETE', '/services'],
  ['PUT', '/info'],
  ['HEAD', '/info'],
  ['GET', '/secrets'],
  ['GET', '/configs'],
  ['GET', '/swarm'],
  ['GET', '/swarm/unlockkey'],
  ['GET', '/services/abc'],
  ['GET', '/services/'],
  ['GET', '//services'],
  ['GET', '/services/../secrets'],
  ['GET', '/v1.41/../secrets'],
  ['GET', '/v1.41/v1.41/services'],
  ['GET', '/%73ecrets'],
  ['GET', '/SERVICES'],
  ['GET', 'http://elsewhere/services'],
  ['GET', '/services?status=true'],
  ['GET', '/services?insertDefaults=true'],
  ['GET', '/events?since=0'],
  ['GET', '/info?x'],
  ['GET', '/containers/json?all=yes'],
  ['GET', '/containers/json?size=1'],
  ['GET', '/containers/abc/json'],
  ['GET', `/tasks?${filters({ secret: ['x'] })}`],
  ['GET', `/tasks?${filters({ id: 'x' })}`],
  ['GET', '/tasks?filters=%7B'],
  ['GET', `/tasks?${filters({ id: ['x'] })}&${filters({ id: ['y'] })}`],
  ['GET', `/tasks?${filters({ id: Array(200).fill('x'.repeat(100)) })}`],
  ['GET', '/tasks?a?b'],
  ['GET', '/constructor'],
  ['GET', '/__proto__'],
  ['GET', ''],
] as const) {
  test(`${method} ${target.slice(0, 60)} is refused`, () => assert.not.ok(checkRequest(method, target).ok))
}

test('environment, arguments, node labels, certificates and join tokens are removed', () => {
  const info = {
    Name: 'n1',
    Swarm: {
      NodeID: 'a',
      NodeAddr: '10.0.0.1',
      LocalNodeState: 'active',
      ControlAvailable: true,
      Cluster: { ID: 'c', JoinTokens: { Worker: 'SWMTKN-hunter2' } },
    },
    RegistryConfig: { hunter2: true },
    Labels: ['hunter2'],
  }
  const all = [
    filterResponse('/tasks', [rawTask('t1', 's1')]),
    filterResponse('/services', [rawService('s1', 'web')]),
    filterResponse('/nodes', [rawNode('n1', 'one')]),
    filterResponse('/info', info),
    filterResponse('/containers/json', [
      {
        Id: 'c',
        Names: ['/x'],
        Command: 'run --token=hunter2',
        Mounts: [{ Source: '/hunter2' }],
        HostConfig: {},
        Labels: {},
        State: 'running',
      },
    ]),
  ]
  const text = JSON.stringify(all)
  assert.not.match(text, /hunter2|TLSInfo|Mounts|Command|JoinTokens|secret/)
  assert.match(text, /"traefik\.port":"80"/)
})

test('malformed items are reduced to their ID; a response that is no list is dropped', () => {
  assert.equal(filterResponse('/tasks', [{ ID: 't9', Env: 'hunter2' }]), [{ ID: 't9' }])
  assert.is(filterResponse('/tasks', { message: 'x' }), null)
  assert.is(filterResponse('/info', 'text'), null)
  assert.is(filterResponse('/_ping', 'anything'), 'OK')
})

test.run()
