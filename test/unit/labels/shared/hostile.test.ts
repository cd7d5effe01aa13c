// Random labels, names and addresses from a list of hostile values. The result must survive the disk (its schema and hash),
// compile in a data worker, and not depend on the order of discovery. A failing seed is printed.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mergeConfigs, snapshotOf } from '../../../../src/config/merge.ts'
import type { Snapshot } from '../../../../src/config/model.ts'
import { restoreSnapshot } from '../../../../src/control/stored-snapshot.ts'
import type { DiscoveredService } from '../../../../src/labels/shared/discovered.ts'
import { readTraefikV1 } from '../../../../src/labels/traefik-v1/reader.ts'
import { MIDDLEWARES } from '../../../../src/middlewares/registry.ts'
import { Runtime } from '../../../../src/proxy/runtime.ts'
import { noTransport } from '../../proxy/no-transport.ts'
import { OPTIONS } from './services.ts'

const LABELS =
  `port protocol weight backend enable tags domain docker.network frontend.rule frontend.priority frontend.entryPoints
  frontend.passHostHeader backend.loadbalancer.method backend.loadbalancer.sticky backend.loadbalancer.stickiness
  backend.loadbalancer.stickiness.cookieName backend.loadbalancer.stickiness.secure backend.loadbalancer.stickiness.sameSite
  backend.loadbalancer.swarm backend.healthcheck.path backend.healthcheck.port backend.healthcheck.scheme backend.healthcheck.hostname
  backend.healthcheck.interval backend.healthcheck.timeout backend.healthcheck.headers backend.maxconn.amount
  backend.maxconn.extractorfunc frontend.auth.basic http.routers.x zzz`.split(/\s+/)
const RULES =
  `Host:a.test Host: Host:A.b,c HostRegexp:{s:[a-z]+}.x PathPrefix:/a PathPrefixStrip:/a,/b PathStripRegex:/{x:.*} ReplacePath:/x
  AddPrefix:/p Method:GET Headers:X,y HeadersRegexp:X,y+ Query:a=b Query:a={x:[0-9]+}`.split(/\s+/)
const BITS = [
  ...RULES,
  'ReplacePathRegex:^/a(.*) /b$1',
  ...`80 -1 0 1e5 99999999999 true false wrr drr https http 10s 1ns 999h client.ip request.header.X none lax A:b||C:d __proto__:x`.split(
    ' ',
  ),
  ...[
    '',
    ';',
    ',',
    ':',
    '{',
    '}',
    '\\',
    '\n',
    '\r\n',
    '\0',
    '\u2028',
    '\u202e',
    'é',
    '日本',
    '\ud800',
    '%2e',
    '%',
    '..',
    '/',
    '?',
    '#',
    ' ',
  ],
  ...[
    '\t',
    '__proto__',
    'constructor',
    'a'.repeat(300),
    'x'.repeat(3000),
    '(((',
    '(a+)+$',
    '[',
    '*',
    '$1',
    '${',
    '::1',
    '[::1]',
    'a_b',
  ],
]
const SEGMENTS = ['seg', '__proto__', 'a.b', 'x\n', 'constructor']
const ADDRESSES = ['10.0.0.1', '::1', 'bad', '10.0.0.1/24', 'fe80::1%eth0', '']

/** Park and Miller's generator: the same numbers for the same seed, from 0 up to 1. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

function servicesFrom(random: () => number): DiscoveredService[] {
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T
  const times = <T>(most: number, make: (i: number) => T): T[] =>
    Array.from({ length: Math.floor(random() * (most + 1)) }, (_, i) => make(i))
  const value = (): string => pick(BITS) + times(3, () => pick(['', ';', ',', '/', ':']) + pick(BITS)).join('')
  const name = (): string => value().slice(0, 1024) || 'x'
  const service = (i: number): DiscoveredService => ({
    provider: 'swarm',
    id: `id${i}`,
    name: random() < 0.5 ? `s${i}` : name(),
    labels: Object.fromEntries([
      ...(random() < 0.8 ? [['traefik.port', '80']] : []),
      ...(random() < 0.8 ? [['traefik.frontend.rule', value()]] : []),
      ...times(8, () => [`traefik.${random() < 0.2 ? `${pick([...SEGMENTS, value()])}.` : ''}${pick(LABELS)}`, value()]),
    ]),
    instances: times(3, k => ({
      id: `t${i}x${k}`,
      node: name(),
      state: pick(['active', 'draining'] as const),
      addresses: times(2, () => ({ networkId: 'n', network: pick(['web', '', name()]), address: pick(ADDRESSES) })),
    })),
    virtualIps: random() < 0.2 ? [{ networkId: 'n', network: 'web', address: pick(ADDRESSES) }] : [],
    ports: pick([[], [80], [81, 90]]),
    updating: false,
  })
  return [service(0), ...times(7, i => service(i + 1))]
}

function snapshotFrom(services: readonly DiscoveredService[]): Snapshot {
  return snapshotOf(mergeConfigs([readTraefikV1(services, OPTIONS)]), { term: 0, leader: '', sequence: 1 })
}

test('random labels: the snapshot survives the disk and a worker, in any order', () => {
  let routers = 0
  for (let seed = 1; seed <= 1500; seed++) {
    const services = servicesFrom(randomFrom(seed))
    const snapshot = snapshotFrom(services)
    routers += Object.keys(snapshot.routers).length
    const warnings: string[] = []
    const restored = restoreSnapshot(JSON.parse(JSON.stringify(snapshot)), warning => warnings.push(warning))
    assert.not.type(restored, 'string', `seed ${seed}: ${typeof restored === 'string' ? restored : ''}`)
    assert.equal(warnings, [], `seed ${seed}`)
    assert.is(snapshotFrom(services.toReversed()).hash, snapshot.hash, `seed ${seed}: the order counts`)
    new Runtime('key', MIDDLEWARES, noTransport).apply(structuredClone(snapshot), new Map())
  }
  assert.ok(routers > 300, `only ${routers} routers were made: the test has gone blind`)
})

test.run()
