import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../../../src/config/schema.ts'
import { readTraefikV1Files } from '../../../../src/labels/traefik-v1/file.ts'
import { MAX_SERVERS } from '../../../../src/labels/traefik-v1/file-servers.ts'
import { brief, json, oneOf, readFiles, toml } from '../shared/read-files.ts'

test('other tables at the top', () => {
  const config = toml(`
    defaultEntryPoints = ["http"]
    backend = "x"
    [[tls]]
    [file]
    [http.routers.x]
    rule = "Host(\`a\`)"
    [tcp.routers.x]
    [backends]
  `)
  assert.equal(brief(config.errors), [
    'warning defaultEntryPoints=',
    'warning backend=x',
    'warning tls=',
    'warning file=',
    'error http=',
    'error tcp=',
  ])
  assert.match(config.errors[4]?.message ?? '', /Traefik v2 or later/)
})

test('files without services', () => {
  for (const content of ['text', 5, [], true, new Date()]) {
    const { errors, routers } = readFiles({ path: 'x', content })
    assert.equal(routers, {})
    assert.is(errors.length, 1)
    assert.match(errors[0]?.message ?? '', /expected tables backends and frontends/)
  }
  for (const backends of ['x', [], 7]) assert.is(json({ backends }).errors[0]?.severity, 'error')
})

function many(n: number, value: (i: number) => unknown): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, value(i)]))
}

test('names of all kinds', () => {
  const names = [
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'a b',
    'a-b',
    'a/b',
    'x'.repeat(1_000),
    `${'x'.repeat(1_000)}y`,
  ]
  names.push(`${'y'.repeat(99)}\u{20000}`, `${'y'.repeat(99)}\u{20001}`, '日本', '-', '*')
  const servers = (n: number) => ({ s: { url: `http://10.0.0.${n + 1}` } })
  const backends = JSON.stringify(Object.fromEntries(names.map((_, n) => [`k${n}`, { servers: servers(n) }])))
  const frontends = JSON.stringify(
    Object.fromEntries(names.map((_, n) => [`k${n}`, { backend: `k${n}=`, routes: { r: { rule: `Host:h${n}` } } }])),
  )
  const named = (text: string) =>
    names.reduce(
      (all, name, n) => all.replace(`"k${n}":`, `${JSON.stringify(name)}:`).replace(`"k${n}="`, JSON.stringify(name)),
      text,
    )
  const content = JSON.parse(`{"backends":${named(backends)},"frontends":${named(frontends)}}`)
  const config = json(content)
  assert.equal(config.errors, [])
  assert.is(Object.keys(config.routers).length, names.length)
  for (const router of Object.values(config.routers)) {
    const n = Number(/^Host:h(\d+)$/.exec(router.rule)?.[1])
    assert.equal(
      config.services[router.service]?.servers.map(s => s.host),
      [`10.0.0.${n + 1}`],
      router.name,
    )
  }
  assert.is(({} as { servers?: unknown }).servers, undefined)
  assert.equal(brief(json({ backends: { '': {} }, frontends: { ' ': {} } }).errors), [
    'error backends.""=',
    'error frontends." "= ',
  ])
})

test('the number of findings is limited', () => {
  const before = performance.now()
  const flood = oneOf(
    many(200_000, () => 1),
    many(200_000, () => ({})),
  )
  assert.ok(flood.routers.web)
  assert.ok(flood.errors.length <= 100, String(flood.errors.length))
  assert.ok(json(many(200_000, () => 1)).errors.length <= 60)
  const servers = oneOf({ servers: many(LIMITS.serversPerService + 5, i => ({ url: `http://h${i}`, colour: 1 })) })
  assert.is(servers.services.app?.servers.length, LIMITS.serversPerService)
  const routes = { r: { rule: 'Hst:a' } }
  const lost = json({ backends: many(2_000, () => ({})), frontends: many(3_000, i => ({ backend: `kk${i}`, routes })) })
  assert.is(lost.routers.k0, undefined)
  const shared = json({
    backends: { app: { servers: many(5_000, i => ({ url: `http://h${i}` })), loadBalancer: { method: 'x' } } },
    frontends: many(LIMITS.routers + 1, i => ({ backend: 'app', routes: { r: { rule: `Host:h${i}` } } })),
  })
  assert.is(Object.keys(shared.routers).length, LIMITS.routers)
  assert.is(shared.errors.length, 2)
  const wrong = json({ frontends: many(15_000, () => 'x') })
  assert.is(wrong.errors.length, LIMITS.errors)
  assert.ok(performance.now() - before < 60_000, `${performance.now() - before}`)
})

test('aliases of YAML that multiply servers are bounded, and so are frontends of one rule', () => {
  const servers = many(LIMITS.serversPerService, i => ({ url: `http://h${i}` }))
  const routes = { r: { rule: 'Host:a.test' } }
  const content = { backends: many(60, () => ({ servers })), frontends: many(5_000, i => ({ backend: `k${i % 60}`, routes })) }
  const { routers, services, errors } = readTraefikV1Files([{ path: 'a', content }])
  assert.is(Object.keys(routers).length, 5_000)
  assert.is(
    Object.values(services).reduce((sum, service) => sum + service.servers.length, 0),
    MAX_SERVERS,
  )
  assert.is(errors.filter(e => e.message.startsWith(`expected at most ${MAX_SERVERS} servers in all`)).length, 20)
})

test('deep, circular and meaningless values are harmless', () => {
  let deep: unknown = {}
  for (let n = 0; n < 50_000; n++) deep = n % 2 === 0 ? { a: deep } : [deep]
  const circle: Record<string, unknown> = {}
  circle.backends = circle
  circle.frontends = circle
  circle.servers = circle
  circle.routes = circle
  for (const odd of [deep, circle, [circle], new Map(), () => 1, Symbol('x'), 10n ** 400n, Number.NaN, new Date(), undefined]) {
    for (const content of [odd, { backends: odd }, { frontends: odd }, { backends: { app: odd }, frontends: { web: odd } }]) {
      readFiles({ path: 'a', content })
    }
    oneOf({ servers: odd, loadBalancer: odd, healthCheck: { path: odd, headers: odd }, skein: odd, maxConn: { amount: odd } })
    oneOf({ servers: { a: odd, b: { url: odd, weight: odd } } }, { routes: odd, entryPoints: odd, priority: odd, headers: odd })
    oneOf({}, { backend: odd, routes: { a: odd, b: { rule: odd } }, passHostHeader: odd, auth: odd, [String(typeof odd)]: odd })
  }
  const long = 'x'.repeat(1_000_000)
  oneOf({
    [long]: long,
    servers: { [long]: { url: long, weight: long, [long]: long } },
    healthCheck: { path: long, headers: { [long]: long } },
  })
  oneOf(
    { loadBalancer: { method: long, stickiness: { cookieName: long } } },
    { backend: long, entryPoints: [long], [long]: long },
  )
  const text = oneOf({ loadBalancer: { method: long } })
  assert.equal(
    text.errors.map(e => [e.key, e.value.length]),
    [['backends.app.loadBalancer.method', 200]],
  )
})

test.run()
