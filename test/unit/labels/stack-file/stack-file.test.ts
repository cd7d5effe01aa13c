import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkStackFile } from '../../../../src/labels/stack-file/stack-file.ts'
import { OPTIONS } from '../shared/services.ts'

const findings = (...of: Parameters<typeof checkStackFile>) => checkStackFile(...of).errors

function check(text: string): string[] {
  return findings(text, OPTIONS).map(e => `${e.severity} ${e.source} ${e.key}=${e.value}`)
}

test('labels in either form, nothing wrong', () => {
  assert.equal(
    check(`
version: "3.8"
services:
  web:
    image: nginx
    deploy:
      labels:
        traefik.port: 80
        traefik.enable: true
        traefik.docker.network: front
        traefik.frontend.rule: "Host:a.test;ReplacePathRegex:^/(.*) /$$1"
  api:
    ports: ["8080:80"]
    deploy:
      labels:
        - traefik.frontend.rule=Host:b.test;Query:a=b
  db:
    expose: [5432]
    deploy: { labels: { traefik.enable: "false" } }
`),
    [],
  )
})

test('findings of the edge, before the deployment', () => {
  assert.equal(
    check(`
services:
  web:
    deploy:
      labels:
        traefik.port: eighty
  api:
    deploy:
      labels: ["traefik.frontend.rule=Hots:x", "traefik.port=80", "traefik.foo"]
  old:
    labels: { traefik.port: 80 }
    ports: ["80"]
`),
    [
      'warning old traefik.port=80',
      'warning api traefik.foo=',
      'error api traefik.frontend.rule=Hots:x',
      'error web traefik.port=eighty',
    ],
  )
})

test('variables come from the environment of the deployment', () => {
  const text = `
services:
  web:
    ports: ["80"]
    deploy:
      labels:
        traefik.frontend.rule: "Host:www.\${DOMAIN},\${OTHER:-b.test}"
  old:
    ports: ["80"]
    deploy:
      labels: ["traefik.frontend.rule=Host:c.test;ReplacePathRegex:^/(.*) /$1"]
`
  const found = (env: Record<string, string>) => findings(text, OPTIONS, env).map(e => `${e.severity} ${e.source}: ${e.message}`)
  assert.equal(found({ DOMAIN: 'a.test' }), [
    // biome-ignore lint/suspicious/noTemplateCurlyInString: said so
    'error old: expected $$ for a dollar, or ${NAME}: docker stack deploy refuses this file',
  ])
  assert.ok(found({}).includes('warning web: expected DOMAIN in the environment: it is not set'))
})

test('other files are rejected with a message', () => {
  for (const [text, message] of [
    ['', /a map with 'services'/],
    ['- a', /a map with 'services'/],
    ['services: []', /a map with 'services'/],
    ['a: [', /expected YAML/],
    ['a: 1\na: 2', /expected YAML/],
    ['services: { web: 1 }', /expected a service/],
    ['services: { web: { deploy: { labels: 7 } } }', /a list of key=value or a map/],
    ['services: { web: { deploy: { labels: { traefik.port: [80] } } } }', /a text for traefik.port/],
  ] as const) {
    const errors = findings(text, OPTIONS)
    assert.ok(
      errors.some(e => message.test(e.message)),
      `${text}: ${JSON.stringify(errors)}`,
    )
  }
})

test('adversarial files', () => {
  assert.match(findings('#'.repeat(5_000_000), OPTIONS)[0]?.message ?? '', /at most/)
  let bomb = 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n'
  for (let i = 1; i < 12; i++) bomb += `a${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(', ')}]\n`
  assert.match(findings(bomb, OPTIONS)[0]?.message ?? '', /alias/)
})

test('exposed routers with rule, entry points and port; no services without labels', () => {
  const { errors, open } = checkStackFile(
    `
services:
  registry: { image: registry, ports: ["5000:5000"] }
  kibana: { image: kibana, ports: ["5601"], expose: [9200], labels: { other: x } }
  off: { ports: ["80"], deploy: { labels: { traefik.enable: "false", traefik.port: "80" } } }
  web: { ports: ["8080:80"], deploy: { labels: { traefik.enable: "true" } } }
  api:
    deploy:
      labels:
        traefik.port: "81"
        traefik.frontend.rule: "Host:api.test;PathPrefix:/v1"
        traefik.frontend.entryPoints: admin
  shop:
    deploy:
      labels:
        traefik.a.port: "1"
        traefik.a.frontend.rule: "Host:a.test"
        traefik.b.port: "2"
        traefik.b.frontend.rule: "Host:b.test"
        traefik.backend: shared
  newer: { deploy: { labels: { traefik.http.routers.x.rule: "Host(\`x\`)", traefik.port: "80" } } }
  nowhere: { deploy: { labels: { traefik.port: "80", traefik.frontend.entryPoints: other } } }
`,
    OPTIONS,
  )
  assert.equal(
    open.map(({ service, router, rule, entryPoints, ports }) => [service, router, rule, entryPoints.join(), ports.join()]),
    [
      ['api', 'STACK_api', 'Host:api.test;PathPrefix:/v1', 'admin', '81'],
      ['shop', 'STACK_shop-a', 'Host:a.test', '', '1,2'],
      ['shop', 'STACK_shop-b', 'Host:b.test', '', '1,2'],
      ['web', 'STACK_web', 'Host:STACK-web.lab.test', '', '80'],
    ],
  )
  assert.equal(
    errors.map(e => `${e.severity} ${e.source} ${e.key}`),
    ['error newer traefik.http.routers.x.rule', 'error nowhere traefik.frontend.entryPoints'],
  )
})

test('ports are those that Swarm would publish over TCP', () => {
  const port = (ports: string) =>
    checkStackFile(`services: { a: { ports: ${ports}, expose: [9], deploy: { labels: { traefik.enable: "true" } } } }`, OPTIONS, {
      PORT: '81',
    })
  const cases: [ports: string, port: number | null][] = [
    ['["80"]', 80],
    ['[80]', 80],
    ['["8080:80", "80:80/tcp"]', 80],
    ['["127.0.0.1:8080:80"]', 80],
    ['["53:53/udp", "80:80"]', 80],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what a stack file would say
    ['["8080:${PORT}"]', 81],
    ['[{ target: 80, published: 8080 }]', 80],
    ['[{ target: 53, protocol: udp }, { target: 80, protocol: tcp }]', 80],
    ['["80", "443"]', null],
    ['["8080-8090:80-90"]', null],
    ['[]', null],
  ]
  for (const [ports, expected] of cases) {
    const { open, errors } = port(ports)
    assert.equal(
      open.flatMap(o => o.ports),
      expected === null ? [] : [expected],
      ports,
    )
    assert.is(errors.length, expected === null ? 1 : 0, ports)
  }
})

test.run()
