import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { OptionsEnvironment } from '../../../src/options/environment.ts'
import { agentOptions, type Loaded, loadOptions, runOptions } from '../../../src/options/load.ts'
import type { RunOptions } from '../../../src/options/options.ts'
import { deriveSessionKey } from '../../../src/util/session-key.ts'
import { makeIdentity } from '../providers/swarm/certificates.ts'

interface Sources {
  args?: readonly string[]
  env?: Readonly<Record<string, string>>
  files?: Readonly<Record<string, string>>
  hasIPv6?: boolean
}

function environmentOf({ args = [], env = {}, files = {}, hasIPv6 = true }: Sources): OptionsEnvironment {
  return {
    args,
    env,
    hostname: 'edge-1',
    cores: 4,
    hasIPv6,
    readText: path => {
      const text = files[path]
      if (text === undefined) throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' })
      return text
    },
    pathKindOf: path => {
      if (files[path] === undefined) throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' })
      return path.endsWith('.d') ? 'directory' : 'file'
    },
    checkManagerTlsFiles: tls =>
      tls.key === '/wrong' ? `--manager-tls-key is /wrong, expected the key of --manager-tls-cert ${tls.cert}` : null,
    randomKey: () => 'random key',
  }
}

function load(given: Sources): Loaded {
  const loaded = loadOptions('run', environmentOf(given))
  if (loaded === 'help' || !loaded.ok) throw new Error(JSON.stringify(loaded))
  return loaded.value
}

function replica(given: Sources): { options: RunOptions; disabled: readonly string[] } {
  const result = runOptions(load(given), environmentOf(given))
  if (!result.ok) throw new Error(result.errors.join('\n'))
  return result.value
}

/** All error lines. */
function errorsOf(given: Sources): readonly string[] {
  const loaded = loadOptions('run', environmentOf(given))
  if (loaded === 'help') return ['help']
  if (!loaded.ok) return loaded.errors
  const result = runOptions(loaded.value, environmentOf(given))
  return result.ok ? [] : result.errors
}

test('without any option, the defaults apply', () => {
  const { options } = replica({})
  assert.equal(options.dataPlane.entryPoints, [
    {
      name: 'web',
      host: '::',
      port: 80,
      forwardedHeaders: { trustedIPs: [], insecure: false },
      proxyProtocol: { trustedIPs: [], insecure: false },
    },
  ])
  assert.equal(options.admin, { host: '127.0.0.1', port: 9000, names: [] })
  assert.is(options.name, 'edge-1')
  assert.is(options.workers, 4)
  assert.is(options.graceMs, 30_000)
  assert.equal(options.dataPlane.timeouts, {
    connectMs: 1000,
    responseHeaderMs: 75_000,
    requestHeaderMs: 10_000,
    stallMs: 300_000,
    clientIdleMs: 60_000,
    upstreamIdleMs: 60_000,
    tunnelIdleMs: 3_600_000,
    noResponseMs: 1000,
  })
  assert.equal(options.dataPlane.limits, {
    headerBytes: 65_536,
    headerCount: 128,
    uriBytes: 16_384,
    connections: 10_000,
    privateConnections: 4096,
    bodyBytes: 0,
  })
  assert.equal(options.dataPlane.retry, { attempts: 3, bufferBytes: 65_536, budgetRatio: 0.2, budgetMin: 3, serverWaitMs: 5000 })
  assert.is(options.swarm.exposedByDefault, true)
  assert.is(options.swarm.labelPrefix, 'traefik')
  assert.equal(options.log, { level: 'info', format: 'auto' })
})

test('the smallest example of the README is valid', () => {
  const args =
    '--manager tcp://127.0.0.1:2375 --entry-point web=127.0.0.1:8080 --admin 127.0.0.1:9000 --domain lab.test --workers 2'.split(
      ' ',
    )
  const { options } = replica({ args })
  assert.equal(options.swarm.managers, ['tcp://127.0.0.1:2375'])
  assert.is(options.swarm.domain, 'lab.test')
  assert.is(options.dataPlane.entryPoints[0]?.host, '127.0.0.1')
  assert.is(options.workers, 2)
})

test('flags win over the environment, and the environment over the file', () => {
  const files = { 'skein.yml': 'domain: file.test\nnetwork: file\ngrace: 1s\n' }
  const env = { SKEIN_CONFIG: 'skein.yml', SKEIN_DOMAIN: 'env.test', SKEIN_NETWORK: 'env' }
  const { options } = replica({ args: ['--domain', 'flag.test'], env, files })
  assert.is(options.swarm.domain, 'flag.test')
  assert.is(options.swarm.network, 'env')
  assert.is(options.graceMs, 1000)
})

test('a flag replaces the list in the file', () => {
  const files = { 'a.yml': 'managers: [tcp://a:1, tcp://b:1]' }
  assert.equal(replica({ args: ['--config', 'a.yml', '--manager', 'tcp://c:1'], files }).options.swarm.managers, ['tcp://c:1'])
})

test('lists repeat as flags and are separated by commas in the environment', () => {
  assert.equal(replica({ args: ['--manager', 'tcp://a:1', '--manager=tcp://b:1'] }).options.swarm.managers, [
    'tcp://a:1',
    'tcp://b:1',
  ])
  assert.equal(replica({ env: { SKEIN_MANAGER: 'tcp://a:1, tcp://b:1,tcp://a:1' } }).options.swarm.managers, [
    'tcp://a:1',
    'tcp://b:1',
  ])
})

test('TOML and YAML give the same options', () => {
  const files = {
    'a.toml': 'managers = ["tcp://a:1"]\n[timeouts]\nconnect = "2s"\n[entryPoints.web]\naddress = ":81"\n',
    'a.yml': 'managers: [tcp://a:1]\ntimeouts: {connect: 2s}\nentryPoints: {web: {address: ":81"}}\n',
  }
  assert.equal(replica({ args: ['--config', 'a.toml'], files }).options, replica({ args: ['--config', 'a.yml'], files }).options)
})

test('switches accept every documented form', () => {
  assert.is(replica({ args: ['--access-log'] }).options.dataPlane.accessLog, true)
  assert.is(replica({ args: ['--access-log', '--grace', '1s'] }).options.dataPlane.accessLog, true)
  assert.is(replica({ args: ['--access-log=true'] }).options.dataPlane.accessLog, true)
  assert.is(replica({ args: ['--no-exposed-by-default'] }).options.swarm.exposedByDefault, false)
  assert.is(replica({ args: ['--exposed-by-default', 'false'] }).options.swarm.exposedByDefault, false)
})

test('without IPv6, an empty host is 0.0.0.0', () => {
  assert.is(replica({ hasIPv6: false }).options.dataPlane.entryPoints[0]?.host, '0.0.0.0')
})

test('the cookie key is derived from the secret and differs from it', () => {
  const one = replica({ args: ['--secret', 'correct horse'] }).options
  assert.equal(one.secrets, ['correct horse'])
  assert.is(one.dataPlane.cookieKey, deriveSessionKey('correct horse'))
  assert.is.not(one.dataPlane.cookieKey, deriveSessionKey('correct horsf'))
  assert.not.match(one.dataPlane.cookieKey, /horse/)
  assert.is(replica({}).options.dataPlane.cookieKey, 'random key')
})

test('a secret file is read without the line end', () => {
  const files = { '/run/secrets/skein': 'correct horse\n' }
  assert.equal(replica({ args: ['--secret-file', '/run/secrets/skein'], files }).options.secrets, ['correct horse'])
  assert.equal(replica({ env: { SKEIN_SECRET_FILE: '/run/secrets/skein' }, files }).options.secrets, ['correct horse'])
})

test('of two sources of a secret, the one with higher precedence is used', () => {
  const files = { f: 'from file' }
  assert.equal(replica({ args: ['--secret', 'flag'], env: { SKEIN_SECRET_FILE: 'f' }, files }).options.secrets, ['flag'])
  assert.equal(replica({ args: ['--secret-file', 'f'], env: { SKEIN_SECRET: 'env' }, files }).options.secrets, ['from file'])
})

test('a secret with several lines: the first is used, all are accepted', () => {
  const files = { f: '\uFEFF\r\n  new secret of sixteen \r\n\r\nold secret of sixteen\n new secret of sixteen\n' }
  const { options } = replica({ args: ['--secret-file', 'f', '--cluster-listen', ':7998'], files })
  assert.equal(options.secrets, ['new secret of sixteen', 'old secret of sixteen'])
  assert.is(options.dataPlane.cookieKey, deriveSessionKey('new secret of sixteen'))
  assert.is(options.dataPlane.relay.keys.length, 2)
  assert.is(new Set([...options.dataPlane.relay.keys, options.dataPlane.cookieKey]).size, 3)
  assert.equal(replica({ args: ['--secret', 'one\ntwo'] }).options.secrets, ['one', 'two'])
  assert.equal(replica(yaml('secret: |\n  one\n  two\n')).options.secrets, ['one', 'two'])
})

test('the options of a member of a cluster, by flags', () => {
  const { options, disabled } = replica({
    args: ['--secret', 's', '--cluster-listen', ':7998', '--relay-listen', '127.0.0.1:0'],
    env: {
      SKEIN_CLUSTER_PEER: 'tasks.Edge, 10.0.0.2:8000,[fd00::2],tasks.edge:7998',
      SKEIN_CLUSTER_ADVERTISE: '10.0.0.5,[FD00::5],fd00::5',
    },
  })
  assert.equal(options.cluster, {
    listen: { host: '::', port: 7998 },
    name: 'skein',
    peers: [
      { host: 'tasks.edge', port: 7998 },
      { host: '10.0.0.2', port: 8000 },
      { host: 'fd00::2', port: 7998 },
    ],
    advertise: ['10.0.0.5', 'fd00::5'],
  })
  assert.equal(options.dataPlane.relay.listen, { host: '127.0.0.1', port: 0 })
  assert.not.ok(disabled.some(line => /cluster|relay/.test(line)))
})

test('the options of a member of a cluster, by file', () => {
  const { options } = replica(
    yaml('secret: s\ncluster: {listen: "10.0.0.5:0", name: west, peers: [a, "b:1"]}\nrelay: {listen: ":7997"}\n'),
  )
  assert.equal(options.cluster, {
    listen: { host: '10.0.0.5', port: 0 },
    name: 'west',
    peers: [
      { host: 'a', port: 7998 },
      { host: 'b', port: 1 },
    ],
    advertise: [],
  })
  assert.equal(options.dataPlane.relay.listen, { host: '::', port: 7997 })
})

test('the relay key depends on secret and cluster name, the session key on the secret only', () => {
  const args = ['--secret', 'a secret of sixteen', '--cluster-listen', ':7998']
  const named = (name: string) => replica({ args: [...args, '--cluster-name', name] }).options.dataPlane
  const [east, west, plain] = [named('east'), named('west'), replica({ args }).options.dataPlane]
  assert.is(new Set([east, west, plain].flatMap(({ relay }) => relay.keys)).size, 3)
  assert.is(new Set([east, west, plain].map(({ cookieKey }) => cookieKey)).size, 1)
  assert.equal(named('skein').relay.keys, plain.relay.keys)
})

test('a replica without --cluster-listen has neither cluster nor relay, even with a secret', () => {
  const { options } = replica({ args: ['--secret', 'a secret of sixteen'] })
  assert.is(options.cluster, null)
  assert.equal(options.dataPlane.relay, { listen: null, keys: [] })
})

test('services files can be given by flag, environment or file', () => {
  const files = { '/a.toml': '', '/b.yml': '', 'c.d': '', 's.yml': 'servicesFiles: [/a.toml]\n' }
  const flags = ['--services-file', '/a.toml', '--services-file', 'c.d', '--services-file', '/a.toml']
  assert.equal(replica({ args: flags, files }).options.files, ['/a.toml', 'c.d'])
  assert.equal(replica({ env: { SKEIN_SERVICES_FILE: '/a.toml,/b.yml' }, files }).options.files, ['/a.toml', '/b.yml'])
  assert.equal(replica({ args: ['--config', 's.yml'], files }).options.files, ['/a.toml'])
  assert.equal(replica({}).options.files, [])
})

test('without managers, the list of disabled features mentions files', () => {
  const files = { '/a.toml': '' }
  const { disabled } = replica({ args: ['--services-file', '/a.toml'], files })
  assert.ok(disabled.includes('Swarm (no --manager; services come from files only)'), disabled.join('\n'))
  assert.ok(disabled.includes('cluster (this replica reads its files itself)'), disabled.join('\n'))
  assert.not.ok(disabled.some(line => line.startsWith('domain')))
  const both = replica({ args: ['--services-file', '/a.toml', '--manager', 'tcp://a'], files }).disabled
  assert.not.ok(both.some(line => line.startsWith('Swarm')))
  assert.ok(both.some(line => line.startsWith('domain')))
})

test('disabled features are listed', () => {
  const { disabled } = replica({})
  for (const word of ['secret', 'cluster', 'data dir', 'domain', 'access log'])
    assert.ok(
      disabled.some(line => line.includes(word)),
      word,
    )
  const args = ['--secret', 'x', '--data-dir', '/d', '--domain', 'd', '--access-log', '--cluster-listen', ':7998']
  assert.equal(replica({ args }).disabled, ['relay (this replica accepts no requests from peers that cannot reach a service)'])
  assert.equal(replica({ args: [...args, '--relay-listen', ':7997'] }).disabled, [])
})

test('errors of TLS files name the options as they were given', () => {
  const given = { args: ['--manager-tls-key', '/wrong'], env: { SKEIN_MANAGER_TLS_CERT: '/c' } }
  assert.equal(errorsOf(given), ['--manager-tls-key is /wrong, expected the key of SKEIN_MANAGER_TLS_CERT /c'])
})

test('--help is help even beside errors', () => {
  assert.equal(errorsOf({ args: ['--help'] }), ['help'])
  assert.equal(errorsOf({ args: ['--nope', '-h'] }), ['help'])
})

const yaml = (text: string): Sources => ({ args: ['--config', 'a.yml'], files: { 'a.yml': text } })
const mistakes: readonly (readonly [string, Sources, RegExp])[] = [
  ['a wrong duration', { args: ['--grace', 'abc'] }, /^--grace is "abc", expected a duration/],
  [
    'a wrong type in the environment',
    { env: { SKEIN_WORKERS: 'two' } },
    /^SKEIN_WORKERS is "two", expected a whole number from 1 to 256$/,
  ],
  ['a wrong type in a file', yaml('exposedByDefault: "yes"'), /^exposedByDefault in a\.yml is "yes", expected true or false$/],
  ['a wrong type deep in a file', yaml('timeouts: {connect: 5}'), /^timeouts\.connect in a\.yml is 5, expected a duration/],
  ['a list that is none', yaml('managers: tcp://a:1'), /^managers in a\.yml is "tcp:\/\/a:1", expected a list, each item unix:/],
  ['one wrong item', { args: ['--manager', 'tcp://a:1', '--manager', 'http://b'] }, /^--manager is "http:\/\/b", expected unix:/],
  ['a branch that is none', yaml('limits: 5'), /^limits in a\.yml is 5, expected a map with limits\.headerBytes/],
  ['an unknown key', yaml('timeout: {}'), /^timeout in a\.yml is unknown, did you mean timeouts\?$/],
  ['a key of __proto__', yaml('__proto__: {domain: x}'), /^__proto__ in a\.yml is unknown/],
  [
    'a wrong CIDR',
    yaml('entryPoints: {web: {address: ":80", proxyProtocol: {trustedIPs: [1/2]}}}'),
    /^entryPoints\.web\.proxyProtocol\.trustedIPs in a\.yml is "1\/2", expected an address or a CIDR/,
  ],
  [
    'an unknown key of an entry point',
    yaml('entryPoints: {web: {address: ":80", tls: true}}'),
    /^entryPoints\.web in a\.yml is .*expected the keys address/,
  ],
  [
    'a wrong entry point',
    { args: ['--entry-point', 'web=:80', '--entry-point', 'x'] },
    /^--entry-point is "x", expected NAME=HOST:PORT/,
  ],
  ['an unknown flag', { args: ['--mananger', 'tcp://a:1'] }, /^--mananger is unknown, did you mean --manager\?$/],
  [
    "another command's flag",
    { args: ['--listen', ':1'] },
    /^--listen is not an option of skein run, expected it with skein agent$/,
  ],
  ['a stray word', { args: ['edge'] }, /^"edge" is not an option/],
  ['a value that is missing', { args: ['--domain'] }, /^--domain has no value, expected a domain/],
  ['a flag given twice', { args: ['--domain', 'a', '--domain', 'b'] }, /^--domain is given twice/],
  [
    'a missing secret file',
    { args: ['--secret-file', '/nope'] },
    /^--secret-file is "\/nope" and there is no such file, expected a file that holds the secret$/,
  ],
  [
    'a missing services file',
    { env: { SKEIN_SERVICES_FILE: '/nope.toml' } },
    /^SKEIN_SERVICES_FILE is "\/nope\.toml" and there is no such file, expected a \.toml, \.yml, \.yaml or \.json file, or a directory/,
  ],
  [
    'a services file of another kind',
    { args: ['--services-file', 'a.ini'], files: { 'a.ini': '' } },
    /^--services-file is "a\.ini", expected a \.toml, /,
  ],
  ['an empty secret file', { args: ['--secret-file', 'f'], files: { f: '\n' } }, /^--secret-file is "f" and holds nothing/],
  [
    'a secret file with too many',
    { args: ['--secret-file', 'f'], files: { f: 'a\nb\nc\nd\ne\n' } },
    /^--secret-file is "f" and holds 5 secrets \(one a line\), expected at most 4$/,
  ],
  [
    'a secret of blank lines',
    { args: ['--secret', ' \n '] },
    /^--secret has a wrong value \(not shown, it is secret\), expected one to 4 lines/,
  ],
  [
    'a cluster without a secret',
    { args: ['--cluster-listen', ':7998'] },
    /^--cluster-listen is ":7998", expected --secret-file \(or --secret\) beside it/,
  ],
  [
    'a relay without a secret',
    { env: { SKEIN_RELAY_LISTEN: '10.0.0.1:7997' } },
    /^SKEIN_RELAY_LISTEN is "10\.0\.0\.1:7997", expected --secret-file \(or --secret\) beside it/,
  ],
  [
    'a relay without a cluster',
    { args: ['--relay-listen', ':7997', '--secret', 's'] },
    /^--relay-listen is given, expected --cluster-listen beside it/,
  ],
  ['peers without a cluster', { args: ['--cluster-peer', 'a'] }, /^--cluster-peer is given, expected --cluster-listen beside it/],
  [
    'an address without a cluster',
    yaml('cluster: {advertise: [10.0.0.1]}'),
    /^cluster\.advertise in a\.yml is given, expected --cluster-listen/,
  ],
  [
    'a name to listen on',
    { args: ['--cluster-listen', 'edge-1:7998', '--secret', 's'] },
    /^--cluster-listen is "edge-1:7998", expected ADDRESS:PORT such as 10\.0\.0\.5:7998/,
  ],
  [
    'a cluster listening nowhere',
    { args: ['--cluster-listen', '[::1:7998', '--secret', 's'] },
    /^--cluster-listen is "\[::1:7998", expected ADDRESS:PORT/,
  ],
  [
    'a peer with a scheme',
    { args: ['--cluster-listen', ':1', '--secret', 's', '--cluster-peer', 'tcp://a:1'] },
    /^--cluster-peer is "tcp:\/\/a:1", expected HOST or HOST:PORT such as tasks\.edge:7998/,
  ],
  [
    'an advertised address that is a name',
    { args: ['--cluster-listen', ':1', '--secret', 's', '--cluster-advertise', 'edge-1'] },
    /^--cluster-advertise is "edge-1", expected an IP address/,
  ],
  [
    'an advertised address that stands for all',
    { args: ['--cluster-listen', ':1', '--secret', 's', '--cluster-advertise', '0.0.0.0'] },
    /^--cluster-advertise is "0\.0\.0\.0", expected an IP address/,
  ],
  [
    'a name with an escape',
    { args: ['--cluster-name', 'a\u001b[2J'] },
    /^--cluster-name is "a\\u001b\[2J", expected a name of at most 64/,
  ],
  [
    'cluster and relay on one port',
    { args: ['--cluster-listen', '10.0.0.1:7998', '--relay-listen', ':7998', '--secret', 's'] },
    /^--relay-listen is ":7998", expected a different address from the cluster \(--cluster-listen\)$/,
  ],
  [
    'the cluster on an entry point',
    { args: ['--cluster-listen', ':80', '--secret', 's'] },
    /^--cluster-listen is ":80", expected a different address from entry point "web"$/,
  ],
  ['two secrets in one place', { args: ['--secret', 'a', '--secret-file', 'b'] }, /^--secret and --secret-file are both given/],
  ['a missing config file', { args: ['--config', 'nope.yml'] }, /^--config is "nope\.yml" and there is no such file/],
  [
    'a config file of another kind',
    { args: ['--config', 'a.ini'], files: { 'a.ini': '' } },
    /^--config is "a\.ini", expected a file named \.yml/,
  ],
  ['broken YAML', yaml('a: [1'), /^a\.yml cannot be read as YAML: /],
  ['broken TOML', { args: ['--config', 'a.toml'], files: { 'a.toml': 'a = [' } }, /^a\.toml cannot be read as TOML: /],
  ['a list as a file', yaml('[1]'), /^a\.yml is a list, expected a map of options$/],
  [
    'equal addresses',
    { args: ['--entry-point', 'a=:80', '--entry-point', 'b=:80'] },
    /^--entry-point: "a" and "b" both listen on :80/,
  ],
  [
    'the admin API on an entry point',
    { args: ['--admin', '127.0.0.1:80'] },
    /^--admin is "127\.0\.0\.1:80", expected a different address/,
  ],
  ['an agent without a secret', { args: ['--manager', 'agent://a'] }, /^--manager is "agent:\/\/a:7999", expected --secret-file/],
  [
    'a busy poll longer than the rest',
    { args: ['--poll-rest', '1s', '--poll-busy', '2s'] },
    /^--poll-busy is longer than --poll-rest/,
  ],
  [
    'a URI larger than the head',
    { args: ['--max-uri-bytes', '128KiB'] },
    /^--max-uri-bytes is 131072 bytes, expected at most 65536/,
  ],
]
for (const [name, given, expected] of mistakes) {
  test(`${name} is one line that says what was expected`, () => {
    const lines = errorsOf(given)
    assert.is(lines.length, 1, lines.join('\n'))
    assert.match(lines[0] ?? '', expected)
    assert.not.match(lines[0] ?? '', /\n/)
  })
}

test('the value of an invalid secret is never shown', () => {
  const long = 'hunter2'.repeat(10_000)
  for (const line of [
    ...errorsOf({ args: ['--secret', long] }),
    ...errorsOf(yaml('secret: [hunter2]')),
    ...errorsOf({ env: { SKEIN_SECRET: long } }),
    ...errorsOf({ args: ['--secret', 'hunter2\n1\n2\n3\n4'] }),
    ...errorsOf({ args: ['--secret-file', 'f'], files: { f: 'hunter2\n1\n2\n3\n4' } }),
  ]) {
    assert.match(line, /secret/i)
    assert.not.match(line, /hunter2/)
  }
})

test('a huge invalid value is cut', () => {
  const [line = ''] = errorsOf({ args: ['--domain', '-'.repeat(1e6).replace(/^-/, 'x')] })
  assert.ok(line.length < 400, String(line.length))
})

test('a misspelt variable is a warning; an empty one is ignored', () => {
  const { warnings } = load({ env: { SKEIN_MANGER: 'tcp://a:1', SKEIN_DOMAIN: '', HOME: '/' } })
  assert.equal(warnings, ['SKEIN_MANGER is ignored: no option has this name, did you mean SKEIN_MANAGER?'])
})

test('a short secret is a warning that does not show it', () => {
  const { warnings } = load({ args: ['--secret', 'hunter2'] })
  assert.is(warnings.length, 1)
  assert.match(warnings[0] ?? '', /^--secret: the secret has fewer than 16 characters/)
  assert.not.match(warnings[0] ?? '', /hunter2/)
  assert.equal(load({ args: ['--secret', 'correct horse battery'] }).warnings, [])
  const two = load({ args: ['--secret', 'correct horse battery\nhunter2'] }).warnings
  assert.is(two.length, 1)
  assert.match(two[0] ?? '', /^--secret: secret 2 of 2 has fewer than 16 characters/)
})

test('an agent needs the secret, and accepts both forms of the socket', () => {
  const agent = (args: readonly string[]) => {
    const loaded = loadOptions('agent', environmentOf({ args }))
    if (loaded === 'help' || !loaded.ok) throw new Error('not loaded')
    return agentOptions(loaded.value)
  }
  const without = agent([])
  assert.match(without.ok ? '' : (without.errors[0] ?? ''), /^--secret-file is missing/)
  const right = agent(['--secret', 's', '--docker', '/x.sock', '--listen', ':1'])
  assert.equal(right.ok && right.value, {
    listen: { host: '0.0.0.0', port: 1 },
    docker: 'unix:///x.sock',
    secrets: ['s'],
    log: { level: 'info', format: 'auto' },
  })
})

const REDIS = ['--store', 'redis', '--redis-url']

test('by default, shared state is in the replicas only', () => {
  const { options } = replica({})
  assert.equal(options.store, { kind: 'gossip', redis: null })
  assert.equal(options.dataPlane.sessions, { consistency: 'fast', strictWaitMs: 100 })
})

test('Redis: address, passwords from files, prefix', () => {
  const { options } = replica({
    args: [...REDIS, 'redis+sentinel://edge@a,b:26380/main/2', '--store-consistency', 'strict', '--store-strict-wait', '50ms'],
    env: {
      SKEIN_REDIS_PASSWORD_FILE: '/run/secrets/redis',
      SKEIN_REDIS_SENTINEL_PASSWORD_FILE: '/run/secrets/sentinel',
      SKEIN_REDIS_PREFIX: 'west',
      SKEIN_CLUSTER_NAME: 'edges',
    },
    files: { '/run/secrets/redis': ' sesame\n', '/run/secrets/sentinel': 'other' },
  })
  assert.equal(options.store, {
    kind: 'redis',
    redis: {
      mode: 'sentinel',
      hosts: [
        { host: 'a', port: 26_379 },
        { host: 'b', port: 26_380 },
      ],
      master: 'main',
      username: 'edge',
      password: 'sesame',
      sentinelPassword: 'other',
      database: 2,
      tls: null,
      prefix: 'west',
      cluster: 'edges',
    },
  })
  assert.equal(options.dataPlane.sessions, { consistency: 'strict', strictWaitMs: 50 })
})

test('Redis with TLS: the content of the CA file', () => {
  const { cert } = makeIdentity('redis')
  const given = { args: [...REDIS, 'rediss://redis', '--redis-ca', '/ca.pem'], files: { '/ca.pem': cert } }
  assert.equal(replica(given).options.store.redis?.tls, { ca: cert })
  assert.equal(replica({ args: [...REDIS, 'rediss://redis'] }).options.store.redis?.tls, { ca: null })
})

test('--store gossip turns Redis off despite --redis-url', () => {
  assert.is(replica({ args: ['--store', 'gossip'], env: { SKEIN_REDIS_URL: 'redis://redis' } }).options.store.redis, null)
})

const STORE_MISTAKES: readonly (readonly [string, Sources, RegExp])[] = [
  ['no URL', { args: ['--store', 'redis'] }, /^--store is redis, expected --redis-url beside it/],
  ['no --store', { env: { SKEIN_REDIS_URL: 'redis://a' } }, /^SKEIN_REDIS_URL is given, expected --store redis beside it/],
  [
    'strict without Redis',
    { args: ['--store-consistency', 'strict'] },
    /^--store-consistency is strict, expected --store redis beside it/,
  ],
  [
    'a wrong URL',
    { args: [...REDIS, 'redis://:sesame@a,b'] },
    /^--redis-url has a wrong value \(not shown, it is secret\), expected one host with redis:/,
  ],
  [
    'two passwords',
    { args: [...REDIS, 'redis://:sesame@a'], env: { SKEIN_REDIS_PASSWORD: 'sesame' } },
    /^--redis-url holds a password and SKEIN_REDIS_PASSWORD is given, expected one of them/,
  ],
  [
    'a password and a file',
    { args: [...REDIS, 'redis://a', '--redis-password', 'sesame', '--redis-password-file', '/p'], files: { '/p': 'x' } },
    /^--redis-password and --redis-password-file are both given/,
  ],
  [
    'no password file',
    { args: [...REDIS, 'redis://a', '--redis-password-file', '/p'] },
    /^--redis-password-file is "\/p" and there is no such file, expected a file that holds the password/,
  ],
  [
    'a password file of two lines',
    { args: [...REDIS, 'redis://a', '--redis-password-file', '/p'], files: { '/p': 'sesame\nopen' } },
    /^--redis-password-file is "\/p" and holds 2 lines, expected one/,
  ],
  [
    'a user without a password',
    { args: [...REDIS, 'redis://edge@a'] },
    /^--redis-url holds a user name, expected a password too/,
  ],
  [
    "the Sentinels' password without Sentinels",
    { args: [...REDIS, 'redis://a', '--redis-sentinel-password', 'sesame'] },
    /^--redis-sentinel-password is given, expected a --redis-url that begins with redis\+sentinel:/,
  ],
  [
    'an authority without TLS',
    { args: [...REDIS, 'redis://a', '--redis-ca', '/ca'], files: { '/ca': 'x' } },
    /^--redis-ca is given, expected a --redis-url that begins with rediss/,
  ],
  [
    'an authority that is none',
    { args: [...REDIS, 'rediss://a', '--redis-ca', '/ca'], files: { '/ca': 'x' } },
    /^--redis-ca is "\/ca" and holds no certificate, expected a PEM file/,
  ],
]

for (const [what, given, expected] of STORE_MISTAKES)
  test(`Redis: ${what} is an error without secret values`, () => {
    const lines = errorsOf(given)
    assert.is(lines.length, 1, lines.join('\n'))
    assert.match(lines[0] as string, expected)
    assert.not.match(lines[0] as string, /sesame/)
  })

test.run()
