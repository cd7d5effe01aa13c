import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkStackFile } from '../../../src/labels/stack-file.ts'
import { OPTIONS } from './discovered.ts'

function check(text: string): string[] {
  return checkStackFile(text, OPTIONS).map(e => `${e.severity} ${e.source} ${e.key}=${e.value}`)
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

test('what the edge would find, before it is deployed', () => {
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

test('variables are those of the environment that would deploy it', () => {
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
  const found = (env: Record<string, string>) =>
    checkStackFile(text, OPTIONS, env).map(e => `${e.severity} ${e.source}: ${e.message}`)
  assert.equal(found({ DOMAIN: 'a.test' }), [
    // biome-ignore lint/suspicious/noTemplateCurlyInString: said so
    'error old: expected $$ for a dollar, or ${NAME}: docker stack deploy refuses this file',
  ])
  assert.ok(found({}).includes('warning web: expected DOMAIN in the environment: it is not set'))
})

test('what is no stack file says so', () => {
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
    const errors = checkStackFile(text, OPTIONS)
    assert.ok(
      errors.some(e => message.test(e.message)),
      `${text}: ${JSON.stringify(errors)}`,
    )
  }
})

test('files made to hurt', () => {
  assert.match(checkStackFile('#'.repeat(5_000_000), OPTIONS)[0]?.message ?? '', /at most/)
  let bomb = 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n'
  for (let i = 1; i < 12; i++) bomb += `a${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(', ')}]\n`
  assert.match(checkStackFile(bomb, OPTIONS)[0]?.message ?? '', /alias/)
})

test.run()
