import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mergeConfigs, snapshotOf } from '../../../../src/config/merge.ts'
import type { ConfigError, DynamicConfig } from '../../../../src/config/model.ts'
import { parseSnapshot } from '../../../../src/config/schema.ts'
import type { DiscoveredService } from '../../../../src/labels/shared/discovered.ts'
import { readTraefikV1 } from '../../../../src/labels/traefik-v1/reader.ts'
import { seeded } from '../../rules/fake-request.ts'
import { at, found, OPTIONS, task } from '../shared/services.ts'

function read(...services: DiscoveredService[]): DynamicConfig {
  return readTraefikV1(services, OPTIONS)
}

function brief(errors: readonly ConfigError[]): string[] {
  return errors.map(e => `${e.severity} ${e.source} ${e.key}=${e.value}`)
}

test('a service that is only enabled has the default rule and its one published port', () => {
  const config = read(found('shop_web', { 'traefik.enable': 'true' }, { ports: [8080] }))
  assert.equal(config.routers.shop_web, {
    name: 'shop_web',
    entryPoints: [],
    rule: 'Host:shop-web.lab.test',
    matcher: { kind: 'host', hosts: ['shop-web.lab.test'] },
    priority: 22,
    service: 'shop_web',
    middlewares: [],
    passHostHeader: true,
    provider: 'swarm',
    source: 'shop_web',
  })
  assert.equal(config.services.shop_web, {
    name: 'shop_web',
    servers: [
      {
        id: 'shop_web.1:8080',
        scheme: 'http',
        host: '10.0.1.4',
        port: 8080,
        weight: 1,
        state: 'active',
        node: 'n1',
        owner: 'shop_web',
      },
    ],
    balancer: 'wrr',
    sticky: null,
    learn: null,
    breaker: null,
    outliers: { errors: 5 },
    healthCheck: null,
    maxConn: null,
    timeouts: { responseHeaderMs: null, stallMs: null },
    provider: 'swarm',
    source: 'shop_web',
  })
  assert.equal(config.errors, [])
})

test('every label of the service itself', () => {
  const config = read(
    found('app', {
      'traefik.enable': 'true',
      'traefik.port': '81',
      'traefik.protocol': 'https',
      'traefik.weight': '10',
      'traefik.frontend.rule': 'Host:a.test;PathPrefixStrip:/x;AddPrefix:/y',
      'traefik.frontend.priority': '99',
      'traefik.frontend.entryPoints': 'web, admin',
      'traefik.frontend.passHostHeader': 'false',
      'traefik.backend': 'shared',
      'traefik.backend.loadbalancer.method': 'DRR',
    }),
  )
  const router = config.routers.app
  assert.equal(router?.entryPoints, ['web', 'admin'])
  assert.is(router?.priority, 99)
  assert.is(router?.passHostHeader, false)
  assert.is(router?.service, 'shared')
  assert.equal(router?.middlewares, ['app.stripPrefix', 'app.addPrefix'])
  assert.equal(config.middlewares, {
    'app.stripPrefix': { kind: 'stripPrefix', prefixes: ['/x'] },
    'app.addPrefix': { kind: 'addPrefix', prefix: '/y' },
  })
  const service = config.services.shared
  assert.is(service?.balancer, 'drr')
  assert.equal(service?.servers, [
    { id: 'app.1:81', scheme: 'https', host: '10.0.1.4', port: 81, weight: 10, state: 'active', node: 'n1', owner: 'app' },
  ])
  assert.equal(config.errors, [])
})

test('default rules', () => {
  const cases: [name: string, labels: Record<string, string>, domain: string | null, rule: string | undefined][] = [
    ['web', { 'traefik.port': '80' }, 'docker.localhost', 'Host:web.docker.localhost'],
    ['stack_my_web', { 'traefik.enable': 'true' }, 'docker.localhost', 'Host:stack-my-web.docker.localhost'],
    ['web', { 'traefik.domain': 'other.test' }, 'docker.localhost', 'Host:web.other.test'],
    ['web', { 'traefik.domain': 'other.test' }, null, 'Host:web.other.test'],
    ['web', { 'traefik.enable': 'true' }, null, undefined],
    [
      'x',
      { 'traefik.port': '80', 'com.docker.compose.project': 'my_project', 'com.docker.compose.service': 'web' },
      'lab.test',
      'Host:web.my-project.lab.test',
    ],
    ['x', { 'traefik.port': '80', 'com.docker.compose.project': 'p', 'com.docker.compose.service': 'web' }, null, 'Host:web.p'],
    ['web', { 'traefik.frontend.rule': '' }, 'lab.test', 'Host:web.lab.test'],
  ]
  for (const [name, labels, domain, rule] of cases) {
    const config = readTraefikV1([found(name, labels)], { ...OPTIONS, domain })
    assert.is(config.routers[name]?.rule, rule, `${name} ${domain}`)
    assert.is(config.errors.length, rule === undefined ? 1 : 0)
  }
})

test('segments inherit, and leave the service no router of its own', () => {
  const config = read(
    found('shop_web', {
      'traefik.port': '80',
      'traefik.frontend.entryPoints': 'web',
      'traefik.backend.loadbalancer.stickiness': 'true',
      'traefik.api.port': '8080',
      'traefik.api.frontend.rule': 'Host:api.test',
      'traefik.ui.frontend.rule': 'Host:ui.test',
      'traefik.ui.weight': '3',
      'traefik.ui.backend': 'front',
    }),
  )
  assert.equal(Object.keys(config.routers), ['shop_web-api', 'shop_web-ui'])
  assert.is(config.routers['shop_web-api']?.service, 'shop_web-api')
  assert.is(config.routers['shop_web-ui']?.service, 'shop_web-front')
  assert.equal(config.routers['shop_web-ui']?.entryPoints, ['web'])
  assert.is(config.services['shop_web-api']?.servers[0]?.port, 8080)
  assert.is(config.services['shop_web-front']?.servers[0]?.port, 80)
  assert.is(config.services['shop_web-front']?.servers[0]?.weight, 3)
  assert.ok(config.services['shop_web-front']?.sticky)
  assert.equal(config.errors, [])
})

test('a wrong segment does not affect the others', () => {
  const config = read(
    found('a', {
      'traefik.x.port': 'eighty',
      'traefik.x.frontend.rule': 'Host:x',
      'traefik.y.port': '80',
      'traefik.y.frontend.rule': 'Host:y',
    }),
  )
  assert.equal(Object.keys(config.routers), ['a-y'])
  assert.equal(brief(config.errors), ['error a traefik.x.port=eighty'])
})

test('what is exposed', () => {
  const cases: [labels: Record<string, string>, exposedByDefault: boolean, exposed: boolean, errors: number][] = [
    // A service without a label under the prefix is not exposed, whatever it publishes.
    [{}, true, false, 0],
    [{}, false, false, 0],
    [{ 'other.label': 'x' }, true, false, 0],
    [{ 'traefik.port': '80' }, true, true, 0],
    [{ 'traefik.port': '80' }, false, false, 0],
    [{ 'traefik.enable': 'true' }, true, true, 0],
    [{ 'traefik.enable': 'false' }, true, false, 0],
    [{ 'traefik.enable': 'true' }, false, true, 0],
    [{ 'traefik.enable': '' }, true, true, 0],
    // An unclear value means not exposed.
    [{ 'traefik.enable': 'flase' }, true, false, 1],
    // Labels of a disabled service are not read.
    [{ 'traefik.enable': 'false', 'traefik.port': 'eighty' }, true, false, 0],
  ]
  for (const [labels, exposedByDefault, exposed, errors] of cases) {
    const config = readTraefikV1([found('a', labels)], { ...OPTIONS, exposedByDefault })
    assert.is(Object.keys(config.routers).length, exposed ? 1 : 0, JSON.stringify(labels))
    assert.is(config.errors.length, errors)
  }
})

test('constraints by tag', () => {
  const cases: [constraints: string[], tags: string, exposed: boolean][] = [
    [['tag==public'], 'public', true],
    [['tag==public'], 'a, public', true],
    [['tag==public'], '', false],
    [['tag==us-*'], 'us-east-1', true],
    [['tag!=us-*'], 'us-east-1', false],
    [['tag!=us-*'], '', true],
    [['tag==a', 'tag!=b'], 'a,b', false],
    [['label==a'], 'a', false],
  ]
  for (const [constraints, tags, exposed] of cases) {
    const config = readTraefikV1([found('a', { 'traefik.tags': tags })], { ...OPTIONS, constraints })
    assert.is(Object.keys(config.routers).length, exposed ? 1 : 0, `${constraints} ${tags}`)
  }
})

test('a wrong label is reported and affects its own service only', () => {
  const cases: [labels: Record<string, string>, error: string, message: RegExp, exposed: boolean][] = [
    [{ 'traefik.port': 'eighty' }, 'error a traefik.port=eighty', /whole number from 1 to 65535/, false],
    [{ 'traefik.port': '0' }, 'error a traefik.port=0', /from 1 to/, false],
    [{ 'traefik.port': '65536' }, 'error a traefik.port=65536', /from 1 to/, false],
    [{ 'traefik.protocol': 'h2c' }, 'error a traefik.protocol=h2c', /not supported yet/, false],
    [{ 'traefik.protocol': 'ftp' }, 'error a traefik.protocol=ftp', /http or https/, false],
    [{ 'traefik.weight': 'heavy' }, 'error a traefik.weight=heavy', /1 is used/, true],
    [{ 'traefik.weight': '-1' }, 'error a traefik.weight=-1', /from 0/, true],
    [{ 'traefik.frontend.rule': 'Hots:x' }, 'error a traefik.frontend.rule=Hots:x', /one of Host/, false],
    [
      { 'traefik.frontend.rule': 'PathPrefix:/{x:(a+)+(}' },
      'error a traefik.frontend.rule=PathPrefix:/{x:(a+)+(}',
      /regular expression/,
      false,
    ],
    [{ 'traefik.frontend.priority': 'high' }, 'error a traefik.frontend.priority=high', /length is used/, true],
    [{ 'traefik.frontend.priority': '-1' }, 'warning a traefik.frontend.priority=-1', /above 0: .* length is used/, true],
    [
      { 'traefik.frontend.priority': '9007199254740992' },
      'error a traefik.frontend.priority=9007199254740992',
      /at most 9007199254740991; the router was left out/,
      false,
    ],
    [
      { 'traefik.frontend.priority': '-99999999999999999999999' },
      'error a traefik.frontend.priority=-99999999999999999999999',
      /the router was left out/,
      false,
    ],
    [
      { 'traefik.frontend.rule': 'Host:a.test,*.b.test' },
      'error a traefik.frontend.rule=Host:a.test,*.b.test',
      /^expected Host: a host name; write HostRegexp.* this value was left out, the others are used$/,
      true,
    ],
    [
      { 'traefik.frontend.entryPoints': 'x'.repeat(65) },
      `error a traefik.frontend.entryPoints=${'x'.repeat(65)}`,
      /names of entry points.*; the router was left out/,
      false,
    ],
    [
      { 'traefik.frontend.entryPoints': Array.from({ length: 65 }, (_, i) => `e${i}`).join() },
      `error a traefik.frontend.entryPoints=${Array.from({ length: 65 }, (_, i) => `e${i}`)
        .join()
        .slice(0, 199)}…`,
      /at most 64 names of entry points.*; the other names were left out/,
      true,
    ],
    [
      { 'traefik.frontend.passHostHeader': 'yes' },
      'error a traefik.frontend.passHostHeader=yes',
      /true or false; taken as true/,
      true,
    ],
    [
      { 'traefik.docker.network': 'nope' },
      'error a traefik.docker.network=nope',
      /network 'nope'; 1 of 1 tasks have addresses on 'web' only/,
      true,
    ],
    [{ 'traefik.frontend.auth.basic.users': 'x:y' }, 'error a traefik.frontend.auth.basic.users=', /left out/, false],
    [
      { 'traefik.frontend.whiteList.sourceRange': '10.0.0.0/8' },
      'error a traefik.frontend.whiteList.sourceRange=',
      /left out/,
      false,
    ],
    [{ 'traefik.foo': 'bar' }, 'warning a traefik.foo=bar', /a label of Traefik v1; ignored/, true],
    [
      { 'traefik.frontend.entrypoints': 'web' },
      'warning a traefik.frontend.entrypoints=web',
      /expected traefik.frontend.entryPoints/,
      true,
    ],
    [
      { 'traefik.backend.loadbalancer': 'drr' },
      'warning a traefik.backend.loadbalancer=drr',
      /^expected traefik.backend.loadbalancer.method; ignored$/,
      true,
    ],
    [
      { 'traefik.backend.circuitbreaker': 'NetworkErrorRatio() > 0.5' },
      'warning a traefik.backend.circuitbreaker=NetworkErrorRatio() > 0.5',
      /^expected traefik.backend.circuitbreaker.expression; ignored$/,
      true,
    ],
    [
      { 'traefik.frontend.headers.SSLRedirect': 'true' },
      'warning a traefik.frontend.headers.SSLRedirect=',
      /not supported yet/,
      true,
    ],
    [
      { 'traefik.http.routers.a.rule': 'Host(`x`)' },
      'error a traefik.http.routers.a.rule=Host(`x`)',
      /^expected traefik.frontend.rule: .* the router was left out$/,
      false,
    ],
  ]
  for (const [labels, error, message, exposed] of cases) {
    const config = read(found('a', labels), found('other'))
    assert.equal(brief(config.errors), [error])
    assert.match(config.errors[0]?.message ?? '', message)
    assert.is('a' in config.routers, exposed, error)
    assert.ok(config.routers.other, 'the other service is untouched')
  }
})

test('entry points are kept as in the label, whatever the replica has', () => {
  const { routers, errors } = read(found('a', { 'traefik.frontend.entryPoints': 'old, new,old' }))
  assert.equal(routers.a?.entryPoints, ['old', 'new'])
  assert.equal(errors, [])
})

test('a priority is any whole number of 53 bits; 0 is the length of the rule', () => {
  const cases: [text: string, priority: number][] = [
    ['1', 1],
    ['20261129', 20_261_129],
    ['9999999999', 9_999_999_999],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['+7', 7],
    ['0', 15],
    ['', 15],
  ]
  for (const [text, priority] of cases) {
    const config = read(found('a', { 'traefik.frontend.rule': 'Host:a-b-c.test', 'traefik.frontend.priority': text }))
    assert.is(config.routers.a?.priority, priority, text)
    assert.equal(config.errors, [])
    assert.ok(parseSnapshot(snapshotOf(mergeConfigs([config]), { term: 0, leader: '', sequence: 0 })).ok)
  }
})

test('all mistakes of a service are reported at once', () => {
  const config = read(found('a', { 'traefik.port': 'eighty', 'traefik.frontend.rule': 'Hots:x' }))
  assert.equal(brief(config.errors), ['error a traefik.port=eighty', 'error a traefik.frontend.rule=Hots:x'])
})

test('newer labels beside a rule of v1: one warning per service', () => {
  const config = read(
    found('a', {
      'traefik.http.routers.a.rule': 'x',
      'traefik.http.services.a.loadbalancer.server.port': '80',
      'traefik.tcp.routers.b.rule': 'y',
      'traefik.frontend.rule': 'Host:a.test',
    }),
  )
  assert.equal(brief(config.errors), ['warning a traefik.http.routers.a.rule=x'])
  assert.ok(config.routers.a)
})

test('the port of the label, else the only published one', () => {
  const rule = { 'traefik.frontend.rule': 'Host:a' }
  const cases: [labels: Record<string, string>, ports: number[], port: number | null, message?: RegExp][] = [
    [rule, [8080], 8080],
    [{ ...rule, 'traefik.port': '81' }, [8080], 81],
    [{ ...rule, 'traefik.port': '81' }, [80, 443], 81],
    [rule, [], null, /publishes none/],
    [rule, [80, 443], null, /publishes 80, 443; the router was left out$/],
    [{ 'traefik.enable': 'true' }, [1, 2, 3, 4, 5, 6], null, /publishes 1, 2, 3, 4, 5 and others/],
    [{ 'traefik.s.frontend.rule': 'Host:s' }, [80, 443], null, /publishes 80, 443/],
    [{ 'traefik.s.frontend.rule': 'Host:s', 'traefik.port': '443' }, [80, 443], 443],
  ]
  for (const [labels, ports, port, message] of cases) {
    const { services, errors } = read(found('a', labels, { ports }))
    assert.equal(
      Object.values(services).map(s => s.servers[0]?.port),
      port === null ? [] : [port],
      JSON.stringify(labels),
    )
    assert.match(errors[0]?.message ?? '', message ?? /^$/)
    assert.is(errors.length, message === undefined ? 0 : 1)
  }
})

test('a service without tasks keeps its router, so that the answer is 503', () => {
  const config = read(found('a', undefined, { instances: [] }))
  assert.ok(config.routers.a)
  assert.equal(config.services.a?.servers, [])
  assert.equal(config.errors, [])
})

test('draining tasks are listed as such', () => {
  const config = read(
    found('a', undefined, {
      instances: [task('t1'), task('t2', { state: 'draining' }), task('t3', { state: 'draining', addresses: [] })],
    }),
  )
  assert.equal(
    config.services.a?.servers.map(s => [s.id, s.state]),
    [
      ['t1:80', 'active'],
      ['t2:80', 'draining'],
    ],
  )
  assert.equal(config.errors, [])
})

test('services with the same backend name share it', () => {
  const config = read(
    found('a', { 'traefik.backend': 'both', 'traefik.weight': '3', 'traefik.backend.loadbalancer.method': 'drr' }),
    found('b', { 'traefik.backend': 'both', 'traefik.port': '81' }),
  )
  assert.equal(Object.keys(config.services), ['both'])
  assert.is(config.services.both?.balancer, 'drr')
  assert.equal(
    config.services.both?.servers.map(s => [s.id, s.weight]),
    [
      ['a.1:80', 3],
      ['b.1:81', 1],
    ],
  )
  assert.equal(brief(config.errors), ['warning b traefik.backend=both'])
})

test('weight 0 of all parts of a backend: each gets 1, with a warning', () => {
  const blue = (weight: string, more: Partial<DiscoveredService> = {}) =>
    found('blue', { 'traefik.backend': 'shop', 'traefik.weight': weight, 'traefik.frontend.rule': 'Host:a' }, more)
  const green = (weight: string) =>
    found('green', { 'traefik.backend': 'shop', 'traefik.weight': weight, 'traefik.frontend.rule': 'Host:b' })
  const alone = found('alone', { 'traefik.weight': '0' })
  const cases: [services: DiscoveredService[], weights: number[], warnings: string[]][] = [
    [[alone], [1], ['warning alone traefik.weight=0']],
    [
      [blue('0'), green('0')],
      [1, 1],
      ['warning blue traefik.weight=0', 'warning green traefik.weight=0'],
    ],
    [[blue('1'), green('0')], [1, 0], []],
    [[blue('0'), green('3')], [0, 3], []],
    // A service without a task at the moment still gets clients, which wait for the next task.
    [[blue('1', { instances: [] }), green('0')], [0], []],
    // A service scaled to 0 does not.
    [[blue('1', { instances: [], scaledToZero: true }), green('0')], [1], ['warning green traefik.weight=0']],
  ]
  for (const [services, weights, warnings] of cases) {
    const config = read(...services)
    assert.equal(
      Object.values(config.services).flatMap(s => s.servers.map(server => server.weight)),
      weights,
    )
    assert.equal(brief(config.errors), warnings)
  }
  const segments = read(
    found('seg', {
      'traefik.weight': '0',
      'traefik.x.frontend.rule': 'Host:x',
      'traefik.y.frontend.rule': 'Host:y',
      'traefik.y.weight': '2',
    }),
  )
  assert.equal(
    Object.values(segments.services).map(s => s.servers[0]?.weight),
    [1, 2],
  )
})

test('a backend whose other router is broken keeps its servers', () => {
  const config = read(
    found('a', { 'traefik.backend': 'both', 'traefik.frontend.rule': 'nope' }),
    found('b', { 'traefik.backend': 'both' }),
  )
  assert.is(config.services.both?.servers.length, 2)
  assert.equal(Object.keys(config.routers), ['b'])
})

test('two services with one rule: both stay, the later one is reported', () => {
  const rule = { 'traefik.frontend.rule': 'Host:same.test' }
  const config = read(found('b', rule), found('a', rule), found('c', { ...rule, 'traefik.frontend.priority': '999' }))
  assert.equal(Object.keys(config.routers).sort(), ['a', 'b', 'c'])
  assert.equal(
    config.errors.map(e => [e.source, /router (\w+)/.exec(e.message)?.[1]]),
    [
      ['a', 'c'],
      ['b', 'c'],
    ],
  )
  const apart = read(
    found('a', { ...rule, 'traefik.frontend.entryPoints': 'web' }),
    found('b', { ...rule, 'traefik.frontend.entryPoints': 'admin' }),
  )
  assert.equal(apart.errors, [])
})

test('names are unique, and a segment never takes the name of a service', () => {
  const config = read(
    found('a', { 'traefik.b.port': '80', 'traefik.b.frontend.rule': 'Host:1' }),
    found('a-b', { 'traefik.frontend.rule': 'Host:2' }),
    found('a', { 'traefik.b-c.port': '80', 'traefik.b-c.frontend.rule': 'Host:3' }, { id: 'a2' }),
    found('a-b', { 'traefik.c.port': '80', 'traefik.c.frontend.rule': 'Host:4' }, { id: 'ab2' }),
  )
  assert.is(Object.keys(config.routers).length, 4)
  assert.is(config.routers['a-b']?.rule, 'Host:2')
  assert.is(config.routers['a-b@a']?.rule, 'Host:1')
  assert.is(new Set(Object.values(config.routers).map(r => r.service)).size, 4)
})

test('the order of discovery does not matter', () => {
  const services = ['a', 'b', 'c', 'd'].map((name, i) =>
    found(name, {
      'traefik.frontend.rule': 'Host:same.test',
      'traefik.backend': i % 2 === 0 ? 'x' : 'y',
      'traefik.port': 'zero'.slice(0, i),
    }),
  )
  const one = snapshotOf(readTraefikV1(services, OPTIONS), { term: 0, leader: '', sequence: 0 })
  const other = snapshotOf(readTraefikV1([...services].reverse(), OPTIONS), { term: 0, leader: '', sequence: 0 })
  assert.is(one.hash, other.hash)
})

test('another prefix', () => {
  const config = readTraefikV1([found('a', { 'edge.port': '81', 'traefik.port': '82', 'edge.x.y': '1' })], {
    ...OPTIONS,
    prefix: 'edge',
  })
  assert.is(config.services.a?.servers[0]?.port, 81)
  assert.equal(brief(config.errors), ['warning a edge.x.y=1'])
})

test('huge or very many labels affect their own service only', () => {
  const huge = 'x'.repeat(1_048_576)
  const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`traefik.s${i}.port`, '80']))
  for (const labels of [{ 'traefik.frontend.rule': `Host:${huge}` }, { 'traefik.port': huge }, many]) {
    const config = read(found('a', labels), found('b'))
    assert.equal(Object.keys(config.routers), ['b'])
    assert.ok(JSON.stringify(config.errors).length < 2_000)
    assert.is(config.errors[0]?.source, 'a')
  }
  const unknown = read(found('a', { 'traefik.foo': huge, [`traefik.${huge}`]: '1' }))
  assert.ok(unknown.routers.a)
  assert.ok(JSON.stringify(unknown.errors).length < 2_000)
})

test('random labels: the snapshot can be read back', () => {
  const random = seeded(13)
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!
  const names = [
    'enable',
    'port',
    'protocol',
    'weight',
    'domain',
    'backend',
    'tags',
    'docker.network',
    'frontend.rule',
    'frontend.priority',
    'frontend.entryPoints',
    'frontend.passHostHeader',
    'backend.loadbalancer.method',
    'backend.loadbalancer.sticky',
    'backend.loadbalancer.stickiness',
    'backend.healthcheck.path',
    'backend.loadbalancer.stickiness.cookieName',
    'backend.healthcheck.interval',
    'backend.healthcheck.headers',
    'backend.healthcheck.hostname',
    'backend.maxconn.amount',
    'backend.maxconn.extractorfunc',
    'backend.healthcheck.port',
    'seg.port',
    'seg.frontend.rule',
    '__proto__.port',
    '__proto__.frontend.rule',
    's t.port',
  ]
  const values = [
    '',
    '80',
    '0',
    '-1',
    'true',
    'false',
    'x',
    '__proto__',
    'constructor',
    'é😀',
    'a\r\nb: c',
    '/x',
    '/x y?z=1 2',
    'Host:a',
    'Host:[::1]',
    `Path:/${'é'.repeat(3_000)}`,
    `Path:/${'b'.repeat(2_000)}`,
    'PathPrefixStrip:/a;AddPrefix:/b\r\nc',
    'ReplacePathRegex:^/(.*) /$1',
    `PathStripRegex:/${'c'.repeat(1_100)}`,
    'Headers:X,\u0000',
    'Query:é=ü',
    'a:b||c:d',
    `a:${'d'.repeat(9_000)}`,
    '[::1]',
    '10s',
    'client.ip',
    `request.header.${'h'.repeat(500)}`,
    'x'.repeat(16_000),
    'drr',
    'web,admin',
    'nope',
    'https',
    `Method:${'M'.repeat(500)}`,
  ]
  let routers = 0
  for (let round = 0; round < 3_000; round++) {
    const labels: Record<string, string> = { 'traefik.port': '80', 'traefik.backend.healthcheck.path': '/' }
    for (let i = 0; i < 4; i++) labels[`traefik.${pick(names)}`] = pick(values)
    const config = mergeConfigs([read(found('a', labels), found('b', { 'traefik.backend': pick(values) }))])
    routers += Object.keys(config.routers).length
    const result = parseSnapshot(JSON.parse(JSON.stringify(snapshotOf(config, { term: 0, leader: '', sequence: 0 }))))
    assert.ok(result.ok, `${result.ok ? '' : result.message} ${JSON.stringify(labels).slice(0, 300)}`)
    assert.ok(
      Object.values(config.routers).some(r => r.source === 'b'),
      'the other service is untouched',
    )
  }
  assert.ok(routers > 3_000)
})

test('virtual IPs when the label asks for them', () => {
  const labels = { 'traefik.backend.loadbalancer.swarm': 'true' }
  const vip = read(
    found('a', labels, { virtualIps: [at('ingress', '10.255.0.2'), at('web', '10.0.1.2')], instances: [task('t1'), task('t2')] }),
  )
  assert.equal(
    vip.services.a?.servers.map(s => [s.id, s.host]),
    [['a-id:80', '10.0.1.2']],
  )
  const dnsrr = read(found('a', labels))
  assert.equal(
    dnsrr.services.a?.servers.map(s => s.id),
    ['a.1:80'],
  )
  assert.equal(brief(dnsrr.errors), ['warning a traefik.backend.loadbalancer.swarm=true'])
})

test.run()
