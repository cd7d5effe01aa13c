// Which services labels expose, tested on a running replica: a service without labels has no router, and labels of an
// unsupported dialect never expose what they guard.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, ok } from './harness.ts'
import { closeManagers, ScriptedManager, type ServiceSketch } from './scripted-manager.ts'
import { endAll, Replica } from './skein-process.ts'

const backend = await Backend.start((_request, connection) => connection.write(ok('hello')))
const other = await Backend.start((_request, connection) => connection.write(ok('other')))
const port = String(backend.port)
const published = { ports: [backend.port] }
const manager = await ScriptedManager.start()
const replica = await Replica.start(['--manager', manager.endpoint, '--domain', 'test'])

test.after(async () => {
  await replica.stop()
  endAll()
  closeManagers()
  backend.stop()
  other.stop()
})

/** Creates these services; resolves when the replica serves them (a service named last marks that). */
async function withServices(...services: readonly ServiceSketch[]): Promise<void> {
  const mark = `mark${marks++}`
  manager.set(...services, { name: mark, labels: { 'traefik.port': port } })
  await replica.answers(`${mark}.test`, 200)
}
let marks = 0

test('a service without labels is not served, whatever ports it publishes', async () => {
  await withServices(
    { name: 'registry', labels: {}, ...published },
    { name: 'jenkins', labels: { 'com.docker.stack.namespace': 'ci' }, ...published },
    { name: 'kibana', labels: { 'skein.sticky.learn': 'ip' }, ...published },
    { name: 'enabled', labels: { 'traefik.enable': 'true' }, ...published },
    { name: 'ruled', labels: { 'traefik.frontend.rule': 'Host:ruled.test' }, ...published },
  )
  for (const name of ['registry', 'jenkins', 'kibana']) assert.is((await replica.get(`${name}.test`)).status, 404, name)
  for (const name of ['enabled', 'ruled']) assert.is((await replica.get(`${name}.test`)).status, 200, name)
  const { errors } = await replica.api('snapshot')
  assert.equal(
    errors.map(e => [e.source, e.severity]),
    [['kibana', 'warning']],
  )
})

test('several published ports and no port label: an error, no router', async () => {
  await withServices({ name: 'two', labels: { 'traefik.enable': 'true' }, ports: [backend.port, 9300] })
  assert.is((await replica.get('two.test')).status, 404)
  const { errors } = await replica.api('snapshot')
  assert.equal(
    errors.map(e => [e.source, e.severity, e.key]),
    [['two', 'error', 'traefik.port']],
  )
})

test('a service guarded only in a newer dialect is not served', async () => {
  const guard = { 'traefik.http.middlewares.auth.basicauth.users': 'u:$apr1$x', 'traefik.http.routers.a.middlewares': 'auth' }
  await withServices(
    { name: 'guarded', labels: { 'traefik.port': port, ...guard } },
    { name: 'routed', labels: { 'traefik.enable': 'true', 'traefik.http.routers.a.rule': 'Host(`routed.test`)' }, ...published },
    { name: 'tcp', labels: { 'traefik.enable': 'true', 'traefik.tcp.routers.a.rule': 'HostSNI(`*`)' }, ...published },
    { name: 'both', labels: { 'traefik.port': port, 'traefik.frontend.rule': 'Host:both.test', ...guard } },
  )
  for (const name of ['guarded', 'routed', 'tcp']) assert.is((await replica.get(`${name}.test`)).status, 404, name)
  assert.is((await replica.get('both.test')).status, 200)
  const { errors } = await replica.api('snapshot')
  assert.equal(
    errors.map(e => [e.source, e.severity]),
    [
      ['both', 'warning'],
      ['guarded', 'error'],
      ['routed', 'error'],
      ['tcp', 'error'],
    ],
  )
  assert.not.match(JSON.stringify(errors), /apr1/)
})

test('priorities beyond 32 bits order routers; one beyond 53 bits is an error of its router', async () => {
  const rule = 'Host:ranks.test'
  await withServices(
    { name: 'a', labels: { 'traefik.port': port, 'traefik.frontend.rule': rule, 'traefik.frontend.priority': '9999999998' } },
    {
      name: 'b',
      labels: { 'traefik.port': String(other.port), 'traefik.frontend.rule': rule, 'traefik.frontend.priority': '9999999999' },
    },
    {
      name: 'c',
      labels: { 'traefik.port': port, 'traefik.frontend.rule': rule, 'traefik.frontend.priority': '9007199254740992' },
    },
  )
  assert.is((await replica.get('ranks.test')).body, 'other')
  const { errors, routers } = await replica.api('snapshot')
  assert.equal(
    errors.map(e => [e.source, e.severity]),
    [
      ['c', 'error'],
      ['a', 'warning'],
    ],
  )
  assert.not.ok('c' in routers)
})

test('an invalid value in a list of a rule: the other values are served', async () => {
  await withServices(
    { name: 'hosts', labels: { 'traefik.port': port, 'traefik.frontend.rule': 'Host:one.test,*.two.test,three.test' } },
    { name: 'paths', labels: { 'traefik.port': port, 'traefik.frontend.rule': 'Host:paths.test;PathPrefix:/a,b,/c' } },
    { name: 'query', labels: { 'traefik.port': port, 'traefik.frontend.rule': 'Host:query.test;Query:a=1,b' } },
  )
  assert.is((await replica.get('one.test')).status, 200)
  assert.is((await replica.get('three.test')).status, 200)
  assert.is((await replica.get('x.two.test')).status, 404)
  assert.is((await replica.get('paths.test', '/a')).status, 200)
  assert.is((await replica.get('paths.test', '/c')).status, 200)
  // Paths outside the rule are not served.
  assert.is((await replica.get('paths.test', '/b')).status, 404)
  assert.is((await replica.get('query.test', '/?a=1')).status, 404)
  const { errors } = await replica.api('snapshot')
  assert.equal(
    errors.map(e => [e.source, e.severity, e.key]),
    ['hosts', 'paths', 'query'].map(source => [source, 'error', 'traefik.frontend.rule']),
  )
})

test('a health check requests its path without the fragment', async () => {
  const checked = await Backend.start((_request, connection) => connection.write(ok('checked')))
  await withServices({
    name: 'checked',
    labels: {
      'traefik.port': String(checked.port),
      'traefik.backend.healthcheck.path': '/#/login',
      'traefik.backend.healthcheck.interval': '100ms',
    },
  })
  await until('a health check', () => checked.requests.length > 0)
  assert.match(checked.requests[0]?.head ?? '', /^GET \/ HTTP/)
  const { errors } = await replica.api('snapshot')
  assert.equal(
    errors.map(e => [e.source, e.severity, e.key]),
    [['checked', 'warning', 'traefik.backend.healthcheck.path']],
  )
  checked.stop()
})

test('weight 0: alone it serves with a warning, beside others it gets no new client', async () => {
  await withServices(
    { name: 'zero', labels: { 'traefik.port': port, 'traefik.weight': '0' } },
    { name: 'blue', labels: { 'traefik.port': port, 'traefik.backend': 'shop', 'traefik.frontend.rule': 'Host:shop.test' } },
    {
      name: 'green',
      labels: {
        'traefik.port': String(other.port),
        'traefik.backend': 'shop',
        'traefik.weight': '0',
        'traefik.frontend.rule': 'Host:shop.test;PathPrefix:/',
      },
    },
  )
  assert.is((await replica.get('zero.test')).status, 200)
  for (let i = 0; i < 6; i++) assert.is((await replica.get('shop.test')).body, 'hello')
  const { errors } = await replica.api('snapshot')
  assert.equal(
    errors.map(e => [e.source, e.severity, e.key]),
    [['zero', 'warning', 'traefik.weight']],
  )
})

test('a path with an extra trailing slash: 301, or 404 with --keep-trailing-slash', async () => {
  await withServices({ name: 'exact', labels: { 'traefik.port': port, 'traefik.frontend.rule': 'Host:exact.test;Path:/x' } })
  assert.is((await replica.get('exact.test', '/x')).status, 200)
  assert.is((await replica.get('exact.test', '/x/')).status, 301)
  const keeps = await Replica.start(['--manager', manager.endpoint, '--domain', 'test', '--keep-trailing-slash'])
  await keeps.answers('exact.test', 200, '/x')
  assert.is((await keeps.get('exact.test', '/x/')).status, 404)
  await keeps.stop()
})

test.run()
