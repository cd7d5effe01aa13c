import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../../cluster/core/state.ts'
import {
  addressListKind,
  entryPointConflict,
  entryPointsKind,
  parseEntryPoint,
  parseManager,
  parsePeer,
  peersKind,
} from '../../../src/options/endpoints.ts'

const none = { trustedIPs: [], insecure: false }

test('an entry point is a name and an address', () => {
  assert.equal(parseEntryPoint('web=:80'), { name: 'web', host: '', port: 80, forwardedHeaders: none, proxyProtocol: none })
  assert.equal(parseEntryPoint('v6=[::1]:80'), { name: 'v6', host: '::1', port: 80, forwardedHeaders: none, proxyProtocol: none })
})

test('an entry point with trusted addresses', () => {
  const text =
    'web=:80,forwardedHeaders.trustedIPs=10.0.0.0/8+fd00::/8,forwardedHeaders.insecure=true,proxyProtocol.trustedIPs=10.0.0.1,proxyprotocol.insecure'
  assert.equal(parseEntryPoint(text), {
    name: 'web',
    host: '',
    port: 80,
    forwardedHeaders: { trustedIPs: ['10.0.0.0/8', 'fd00::/8'], insecure: true },
    proxyProtocol: { trustedIPs: ['10.0.0.1'], insecure: true },
  })
})

test('an entry point with a ping path', () => {
  const plain = { name: 'web', host: '', port: 80, forwardedHeaders: none, proxyProtocol: none }
  assert.equal(parseEntryPoint('web=:80,ping=/ping'), { ...plain, ping: '/ping' })
  assert.equal(parseEntryPoint('web=:80,ping=/health/edge-1'), { ...plain, ping: '/health/edge-1' })
  const { fromText, schema } = entryPointsKind()
  assert.equal(
    schema.parse(fromText('web=:80,ping=/ping,alt=:81')).map(({ name, ping }) => [name, ping]),
    [
      ['web', '/ping'],
      ['alt', undefined],
    ],
  )
  assert.equal(schema.parse({ web: { address: ':80', ping: '/ping' } }), [{ ...plain, ping: '/ping' }])
  assert.throws(() => schema.parse({ web: { address: ':80', ping: 'ping' } }))
})

for (const wrong of [
  '',
  'web',
  'web=:80,ping',
  'web=:80,ping=',
  'web=:80,ping=true',
  'web=:80,ping=/',
  'web=:80,ping=/a/../b',
  'web=:80,ping=/a//b',
  'web=:80,ping=/a?b',
  'web=:80,ping=/%61',
  '=:80',
  'web=',
  'web=80',
  'web=:0',
  'web=:99999',
  'we b=:80',
  'web=:80,forwardedHeaders.trustedIPs=',
  'web=:80,forwardedHeaders.trustedIPs=10.0.0.0/40',
  'web=:80,forwardedHeaders.insecure=maybe',
  'web=:80,compress=true',
  'web=:80,forwardedHeaders',
]) {
  test(`${JSON.stringify(wrong)} is not an entry point`, () => assert.type(parseEntryPoint(wrong), 'string'))
}

test('in a text with several entry points, attributes belong to the preceding one', () => {
  const { fromText, schema } = entryPointsKind()
  const points = schema.parse(
    fromText('web=:80,proxyProtocol.trustedIPs=fd00::1+10.0.0.1,alt=[::1]:81,forwardedHeaders.insecure=true'),
  )
  assert.equal(
    points.map(point => [point.name, point.host, point.proxyProtocol.trustedIPs, point.forwardedHeaders.insecure]),
    [
      ['web', '', ['fd00::1', '10.0.0.1'], false],
      ['alt', '::1', [], true],
    ],
  )
})

test('entry points as a map in a file', () => {
  const points = entryPointsKind().schema.parse({
    web: ':80',
    alt: { address: '127.0.0.1:81', forwardedHeaders: { trustedIPs: ['10.0.0.0/8'] } },
  })
  assert.equal(points, [
    { name: 'web', host: '', port: 80, forwardedHeaders: none, proxyProtocol: none },
    {
      name: 'alt',
      host: '127.0.0.1',
      port: 81,
      forwardedHeaders: { trustedIPs: ['10.0.0.0/8'], insecure: false },
      proxyProtocol: none,
    },
  ])
})

test('equal names and equal addresses are errors, also for two forms of a wildcard', () => {
  const points = (...texts: string[]) => entryPointsKind().schema.parse(texts)
  assert.is(entryPointConflict(points('a=:80', 'b=:81', 'c=127.0.0.1:80')), null)
  assert.match(entryPointConflict(points('a=:80', 'a=:81')) ?? '', /named "a"/)
  assert.match(entryPointConflict(points('a=:80', 'b=0.0.0.0:80')) ?? '', /"a" and "b" both listen on :80/)
  assert.match(entryPointConflict(points('a=[::1]:80', 'b=[::1]:80')) ?? '', /\[::1\]:80/)
})

for (const [text, expected] of [
  ['unix:///var/run/docker.sock', 'unix:///var/run/docker.sock'],
  ['tcp://10.0.0.1:2376', 'tcp://10.0.0.1:2376'],
  ['tcp://10.0.0.1', 'tcp://10.0.0.1:2375'],
  ['tcp://10.0.0.1/', 'tcp://10.0.0.1:2375'],
  ['tcp://[fd00::1]', 'tcp://[fd00::1]:2375'],
  ['agent://tasks.managers', 'agent://tasks.managers:7999'],
  ['agent://Manager-1:7000', 'agent://manager-1:7000'],
  ['http://10.0.0.1', null],
  ['tcp://', null],
  ['tcp://:2375', null],
  ['tcp://host:0', null],
  ['tcp://user@host:1', null],
  ['tcp://host:1/path', null],
  ['unix://relative', null],
  ['10.0.0.1:2375', null],
  ['', null],
] as const) {
  test(`the manager ${JSON.stringify(text)} is ${JSON.stringify(expected)}`, () => assert.is(parseManager(text, false), expected))
}

for (const [text, expected] of [
  ['tasks.edge', { host: 'tasks.edge', port: 7998 }],
  ['Edge-1:8000', { host: 'edge-1', port: 8000 }],
  ['10.0.0.5', { host: '10.0.0.5', port: 7998 }],
  ['[fd00::5]', { host: 'fd00::5', port: 7998 }],
  ['[fd00::5]:1', { host: 'fd00::5', port: 1 }],
  ['fd00::5', null],
  ['10.0.0.5:', null],
  ['10.0.0.5:0', null],
  ['10.0.0.5:65536', null],
  ['10.0.0', null],
  ['0.0.0.0', null],
  ['[::]:7998', null],
  [':7998', null],
  ['', null],
  ['a b', null],
  ['tcp://a', null],
  ['/dns4/a/tcp/7998', null],
  ['[fe80::1%eth0]:1', null],
  ['a\u001b[2J', null],
] as const) {
  test(`the peer ${JSON.stringify(text)} is ${JSON.stringify(expected)}`, () => assert.equal(parsePeer(text), expected))
}

test('peers are distinct and limited', () => {
  assert.is(peersKind().schema.parse(['a', 'A:7998', '[fd00::5]', '[FD00::5]:7998', 'a:1']).length, 3)
  const many = Array.from({ length: 257 }, (_, index) => `edge-${index}`)
  assert.ok(peersKind().schema.safeParse(many.slice(1)).success)
  assert.not.ok(peersKind().schema.safeParse(many).success)
})

test('advertised addresses are IP addresses, at most as many as a member can announce', () => {
  const { schema } = addressListKind()
  assert.equal(schema.parse(['10.0.0.5', '[FD00::5]', 'fd00::5']), ['10.0.0.5', 'fd00::5'])
  for (const wrong of ['edge-1', '10.0.0.5:7998', '0.0.0.0', '::', '[::]', 'fe80::1%eth0', '', '10.0.0'])
    assert.not.ok(schema.safeParse([wrong]).success, wrong)
  const many = Array.from({ length: LIMITS.addresses + 1 }, (_, index) => `10.0.0.${index}`)
  assert.ok(schema.safeParse(many.slice(1)).success)
  assert.not.ok(schema.safeParse(many).success)
})

test('tcp:// with TLS has the port of TLS', () => assert.is(parseManager('tcp://a', true), 'tcp://a:2376'))

test.run()
