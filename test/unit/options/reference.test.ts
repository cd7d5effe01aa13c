import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { jsonSchema, referencePage, stalePages } from '../../../src/options/reference.ts'
import { OPTION_NAMES, specOf } from '../../../src/options/schema.ts'
import { parseFile } from '../../../src/options/sources.ts'
import { envName } from '../../../src/options/spec.ts'

test('docs/reference.md and docs/skein.schema.json are current (npm run docs writes them)', () => {
  assert.equal(stalePages(), [])
})

test('the page has every option with its variable and its key', () => {
  const page = referencePage()
  for (const spec of OPTION_NAMES.map(specOf)) {
    assert.match(page, `--${spec.kind.placeholder === '' ? '[no-]' : ''}${spec.flag}`)
    if (spec.env) assert.match(page, `\`${envName(spec)}\``)
    if (spec.file !== null) assert.match(page, `\`${spec.file}\``)
  }
})

test('the example file on the page has the defaults', () => {
  const text = /```yaml\n([\s\S]*?)```/.exec(referencePage())?.[1] ?? ''
  for (const command of ['run', 'agent'] as const) {
    const { layer, errors } = parseFile(command, 'a.yml', text)
    assert.equal(errors, [])
    for (const name of OPTION_NAMES) {
      const { kind, default: fallback, file, commands } = specOf(name)
      if (file === null || fallback === null || !commands.includes(command)) continue
      assert.equal(kind.schema.parse(layer.get(name)?.value), kind.schema.parse(kind.fromText(fallback)), name)
    }
  }
  assert.ok(Object.keys(parse(text) as object).length > 10)
})

test('the example of entry points on the page is valid', () => {
  const text = /## Entry points in a file\n\n```yaml\n([\s\S]*?)```/.exec(referencePage())?.[1] ?? ''
  const value = specOf('entryPoints').kind.schema.parse(parse(text).entryPoints)
  assert.equal(value, [
    {
      name: 'web',
      host: '',
      port: 80,
      forwardedHeaders: { trustedIPs: [], insecure: false },
      proxyProtocol: { trustedIPs: [], insecure: false },
    },
    {
      name: 'internal',
      host: '10.0.0.1',
      port: 8080,
      forwardedHeaders: { trustedIPs: ['10.0.0.0/8', '192.168.0.0/16'], insecure: false },
      proxyProtocol: { trustedIPs: ['10.0.0.5'], insecure: false },
      ping: '/ping',
    },
  ])
})

test('the JSON Schema has every key', () => {
  const schema = JSON.parse(jsonSchema()) as { properties: Record<string, { properties?: Record<string, unknown> }> }
  for (const { file } of OPTION_NAMES.map(specOf)) {
    if (file === null) continue
    const [first, second] = file.split('.') as [string, string | undefined]
    const property = schema.properties[first]
    assert.ok(property, file)
    if (second !== undefined) assert.ok(property?.properties?.[second], file)
  }
})

test.run()
