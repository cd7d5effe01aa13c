// docs/files.md: its examples are valid, equivalent, and match the text.

import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { readTraefikV1Files } from '../../../../src/labels/traefik-v1/file.ts'
import { BACKEND_KEYS } from '../../../../src/labels/traefik-v1/file-keys.ts'
import { parseFile } from '../../../../src/providers/file/parse-file.ts'

const PAGE = readFileSync(new URL('../../../../docs/files.md', import.meta.url), 'utf8')

function examples(language: string): string[] {
  return [...PAGE.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, text]) => text ?? '')
}

function read(path: string, text: string): ReturnType<typeof readTraefikV1Files> {
  const parsed = parseFile(path, Buffer.from(text))
  if (!parsed.ok) throw new Error(parsed.message)
  return readTraefikV1Files([{ path: 'services', content: parsed.content }])
}

test('the examples in TOML and in YAML are equivalent', () => {
  const toml = read('a.toml', examples('toml')[0] ?? '')
  assert.equal(toml.errors, [])
  assert.equal(read('a.yml', examples('yaml')[0] ?? ''), toml)
  const [service] = Object.values(toml.services)
  assert.equal(
    service?.servers.map(({ id, weight }) => [id, weight]),
    [
      ['10.0.8.11:8080', 2],
      ['10.0.8.12:8080', 1],
    ],
  )
  assert.equal([service?.learn?.from, service?.learn?.name, service?.learn?.ttlMs], ['cookie', 'JSESSIONID', 7_200_000])
  assert.is(service?.breaker?.expression, 'NetworkErrorRatio() > 0.3 || ResponseCodeRatio(500, 600, 0, 600) > 0.5')
  assert.is(service?.healthCheck?.intervalMs, 10_000)
  const [router] = Object.values(toml.routers)
  assert.equal([router?.passHostHeader, router?.entryPoints], [true, ['web']])
  assert.is(router?.matcher.kind, 'and')
})

test('every key of a backend is on the page', () => {
  for (const key of Object.values(BACKEND_KEYS)) {
    const last = key.split('.').at(-1) ?? ''
    assert.ok(PAGE.includes(`\`${key}\``) || PAGE.includes(`\`.${last}\``) || PAGE.includes(`\`${last}\``), key)
  }
})

test('the stack snippet mounts the config at the path of the option', () => {
  const snippet = parse(examples('yaml')[1] ?? '')
  assert.is(snippet.services.edge.environment.SKEIN_SERVICES_FILE, snippet.services.edge.configs[0].target)
  assert.ok(snippet.configs[snippet.services.edge.configs[0].source].file)
})

test.run()
