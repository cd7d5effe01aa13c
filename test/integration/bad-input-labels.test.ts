// Invalid labels on some services, tested on a running replica: each is reported by service, label, value and what was
// expected, in the log and the admin API. All other services are served as before, and no label can forge a log line, control a
// terminal or stop a worker.

import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ConfigError } from '../../src/config/model.ts'
import { Backend, ok } from './harness.ts'
import { closeManagers, ScriptedManager, type ServiceSketch } from './scripted-manager.ts'
import { endAll, ownDirectory, Replica, skein } from './skein-process.ts'

const backend = await Backend.start((_request, connection) => connection.write(ok('hello')))
const port = String(backend.port)
const good = (name: string, labels: Readonly<Record<string, string>> = {}, more: Partial<ServiceSketch> = {}): ServiceSketch => ({
  name,
  labels: { 'traefik.port': port, ...labels },
  ...more,
})
const ruled = (name: string, rule: string): ServiceSketch => good(name, { 'traefik.frontend.rule': rule })
const MEGABYTE = 'x'.repeat(1024 * 1024)
/** Characters that control a terminal: controls other than the end of a line, and changes of direction. */
const STEERING = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/
const APP = good('app')

const manager = await ScriptedManager.start(APP)
const directory = ownDirectory()
const replica = await Replica.start(['--manager', manager.endpoint, '--domain', 'test', '--data-dir', directory])

test.before(() => replica.serves())
test.after(async () => {
  const { code } = await replica.stop()
  endAll()
  closeManagers()
  backend.stop()
  if (code !== 0) throw new Error(`the replica ended with ${code}`)
})

/** Adds these services beside `app`. @returns the errors reported once all of them were read */
async function withServices(...services: readonly ServiceSketch[]): Promise<readonly ConfigError[]> {
  const mark = `mark${marks++}`
  manager.set(APP, ...services, good(mark))
  await replica.answers(`${mark}.test`, 200)
  assert.is(await replica.answers('app.test', 200), 'hello')
  return (await replica.api('snapshot')).errors
}
let marks = 0

interface Try {
  readonly service: ServiceSketch
  readonly label: string
  readonly message: RegExp
  readonly severity?: 'warning'
}

const TRIES: readonly Try[] = [
  {
    service: { name: 'eighty', labels: { 'traefik.port': 'eighty' } },
    label: 'traefik.port',
    message: /^expected a whole number from 1 to 65535; the router was left out$/,
  },
  {
    service: { name: 'noport', labels: { 'traefik.enable': 'true' } },
    label: 'traefik.port',
    message: /^expected a port: the service publishes none; the router was left out$/,
  },
  {
    service: { name: 'ports', labels: { 'traefik.frontend.rule': 'Host:ports.test' }, ports: [80, 443] },
    label: 'traefik.port',
    message: /^expected a port: the service publishes 80, 443; the router was left out$/,
  },
  {
    service: good('unguarded', { 'traefik.http.middlewares.auth.basicauth.users': 'u:secret' }),
    label: 'traefik.http.middlewares.auth.basicauth.users',
    message: /^expected traefik.frontend.rule: labels of Traefik v2 or later .* the router was left out$/,
  },
  {
    service: ruled('misspelt', 'Hsot:a.test'),
    label: 'traefik.frontend.rule',
    message: /^expected one of Host, .*; found 'Hsot'; the router was left out$/,
  },
  {
    service: ruled('newer', 'Host(`a.test`)'),
    label: 'traefik.frontend.rule',
    message: /this is the rule syntax of newer Traefik versions/,
  },
  {
    service: ruled('unclosed', 'HostRegexp:{x:(a+}.test'),
    label: 'traefik.frontend.rule',
    message: /^expected HostRegexp: a regular expression in Go's \(RE2\) syntax: missing closing \)/,
  },
  {
    service: ruled('nested', 'HostRegexp:{x:((a{1,99}){1,99}){1,99}}.test'),
    label: 'traefik.frontend.rule',
    message: /^expected HostRegexp: a regular expression .* invalid repeat count/,
  },
  {
    service: ruled('longrule', `Host:${MEGABYTE}`),
    label: 'traefik.frontend.rule',
    message: /^expected at most 16384 characters, found 1048581; the service was left out$/,
  },
  {
    service: { name: 'longport', labels: { 'traefik.port': MEGABYTE } },
    label: 'traefik.port',
    message: /^expected at most 16384 characters/,
  },
  {
    service: good('longkey', { [`traefik.${MEGABYTE}`]: '1' }),
    label: `traefik.${MEGABYTE.slice(0, 191)}…`,
    message: /^expected a label of Traefik v1; ignored$/,
    severity: 'warning',
  },
  {
    service: good('crowd', Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`traefik.l${i}`, '1']))),
    label: 'traefik.',
    message: /^expected at most 1000 labels; the service was left out$/,
  },
  {
    service: good('elsewhere', { 'traefik.docker.network': 'back' }),
    label: 'traefik.docker.network',
    message: /^expected an address on network 'back'; 1 of 1 tasks have addresses on 'web' only and were left out$/,
  },
  {
    service: good('homeless', {}, { tasks: [{ address: '' }] }),
    label: 'traefik.docker.network',
    message: /^expected an address on a network shared with the edge; 1 of 1 tasks have no address \(.*\) and were left out$/,
  },
  {
    service: good('nowhere', {}, { tasks: [{ address: '999.1.1.1' }] }),
    label: 'traefik.docker.network',
    message: /have addresses on 'web' \("999\.1\.1\.1" is not an address\) only/,
  },
  {
    service: good('lost', { 'traefik.frontend.entryPoints': 'nope' }),
    label: 'traefik.frontend.entryPoints',
    message: /^expected entry points among web, which this replica has; it does not serve the router$/,
  },
]

test('every mistake is reported once, and no other service is affected', async () => {
  const errors = await withServices(...TRIES.map(({ service }) => service))
  for (const { service, label, message, severity = 'error' } of TRIES) {
    const own = errors.filter(error => error.source === service.name)
    assert.is(own.length, 1, `${service.name}: ${JSON.stringify(own)}`)
    assert.is(own[0]?.key, label)
    assert.is(own[0]?.severity, severity)
    assert.match(own[0]?.message ?? '', message)
    assert.ok((own[0]?.value.length ?? 0) <= 200)
    const lines = replica.lines.filter(line => line.source === service.name)
    assert.is(lines.length, 1, service.name)
    assert.is(lines[0]?.msg, `${severity}: service ${service.name}, label ${label}: ${own[0]?.message}`)
  }
  assert.ok(readFileSync(join(directory, 'snapshot.json')).length < 100_000, 'a megabyte of label is not kept')
})

test('two services with one rule: the first by name is served, the second reported', async () => {
  const errors = await withServices(ruled('twin2', 'Host:twin.test'), ruled('twin1', 'Host:twin.test'))
  assert.is(errors.length, 1)
  assert.is(errors[0]?.source, 'twin2')
  assert.match(errors[0]?.message ?? '', /router twin1 of service twin1 has it too and comes first$/)
  await replica.answers('twin.test', 200)
})

test('regular expressions with catastrophic backtracking are harmless', async () => {
  const errors = await withServices(
    ruled('host', 'HostRegexp:{x:(a+)+}.host.test'),
    ruled('strip', 'Host:strip.test;PathPrefixStripRegex:/{x:(a|aa)+}b'),
    ruled('replace', 'Host:replace.test;ReplacePathRegex:^/((a*)*)*b$ /x'),
    ruled('header', 'Host:header.test;HeadersRegexp:X-A,(x+x+)+y'),
  )
  assert.equal(errors, [])
  const long = 'a'.repeat(15_000)
  const started = performance.now()
  assert.is(await ask(`${'a'.repeat(200)}b.host.test`, '/'), 404)
  assert.is(await ask('strip.test', `/${long}`), 404)
  assert.is(await ask('replace.test', `/${long}`), 200)
  assert.is(await ask('header.test', '/', { 'x-a': long.replaceAll('a', 'x') }), 404)
  // A backtracking engine would not finish.
  assert.ok(performance.now() - started < 60_000)
})

test('hostile names and labels are treated as plain text', async () => {
  const evil = 'evil\n{"level":"fatal","msg":"forged"}\u001b[2J\u202e'
  await withServices(
    ruled('__proto__', 'Host:proto.test'),
    ruled('constructor', 'Host:constructor.test'),
    good('toString', {
      ['__proto__']: 'x',
      'traefik.__proto__.port': port,
      'traefik.__proto__.frontend.rule': 'Host:segment.test',
      'traefik.hasOwnProperty.port': port,
      'traefik.hasOwnProperty.frontend.rule': 'Host:segment2.test',
    }),
    ruled('n'.repeat(1000), 'Host:long.test'),
    ruled('n'.repeat(3000), 'Host:toolong.test'),
    good(evil, { 'traefik.weight': 'a\nb\u009b\u2028', 'traefik.frontend.rule': 'Host:evil.test' }),
    good('header', {
      'traefik.frontend.rule': 'Host:cookie.test',
      'traefik.backend.loadbalancer.stickiness': 'true',
      'traefik.backend.loadbalancer.stickiness.cookieName': 'a;b\r\nSet-Cookie: c',
      'traefik.backend.healthcheck.path': '/x\r\nEvil: 1',
      'traefik.backend.healthcheck.headers': '__proto__:x||A:b',
    }),
  )
  for (const host of ['proto', 'constructor', 'segment', 'segment2', 'long', 'evil', 'cookie'])
    await replica.answers(`${host}.test`, 200)
  assert.is((await replica.get('toolong.test')).status, 404)
  assert.ok(
    replica.lines.some(line => line.level === 'warn' && line.msg.startsWith(`error: service ${evil}, label traefik.weight`)),
  )
  assert.not.ok(replica.lines.some(line => line.msg === 'forged'))
  assert.not.match(replica.out, STEERING)
  const table = await skein(['routes', '--admin', `127.0.0.1:${replica.admin}`])
  assert.is(table.code, 0, table.err)
  assert.not.match(table.out, STEERING)
})

test('services that change quickly end in their last state', async () => {
  for (let i = 0; i < 30; i++) {
    manager.set(APP, ...(i % 3 === 0 ? [] : [ruled(`quick${i % 2}`, `Host:quick${i % 4}.test`)]))
    await new Promise(resolve => setTimeout(resolve, i % 7))
  }
  assert.equal(await withServices(ruled('quick0', 'Host:last.test')), [])
  const { routers, services } = await replica.api('snapshot')
  assert.equal(Object.keys(routers), ['app', `mark${marks - 1}`, 'quick0'])
  assert.equal(Object.keys(services), ['app', `mark${marks - 1}`, 'quick0'])
  await replica.answers('last.test', 200)
})

function ask(host: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: replica.web, path, headers: { ...headers, host }, agent: false }, response =>
      resolve(response.resume().statusCode),
    )
      .on('error', reject)
      .end()
  })
}

test.run()
