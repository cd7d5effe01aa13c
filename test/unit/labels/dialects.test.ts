import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { DynamicConfig } from '../../../src/config/model.ts'
import { createLabelReader, DIALECTS } from '../../../src/labels/dialects.ts'
import type { DialectType } from '../../../src/labels/shared/dialect.ts'
import { readTraefikV1 } from '../../../src/labels/traefik-v1/reader.ts'
import { found, OPTIONS } from './shared/services.ts'

/** A dialect of one label, `host=NAME`, with the settings of Traefik v1's defaults. */
const oneLabel: DialectType = {
  name: 'one-label',
  create: options => ({
    name: 'one-label',
    claims: labels => labels.host !== undefined,
    read: services =>
      readTraefikV1(
        services.map(service => ({
          ...service,
          labels: { [`${options.prefix}.frontend.rule`]: `Host:${service.labels.host}`, [`${options.prefix}.port`]: '80' },
        })),
        options,
      ),
  }),
}

const rulesOf = ({ routers }: DynamicConfig): Record<string, string> =>
  Object.fromEntries(Object.values(routers).map(({ name, rule }) => [name, rule]))

const SERVICES = [
  found('old', { 'traefik.frontend.rule': 'Host:old.test', 'traefik.port': '80' }),
  found('new', { host: 'new.test' }),
  found('none', { 'com.example.team': 'web' }),
]

test('a second dialect: each service is read by the dialect that claims its labels', () => {
  const reader = createLabelReader(OPTIONS, [...DIALECTS, oneLabel])
  const config = reader.read(SERVICES)
  assert.equal(rulesOf(config), { new: 'Host:new.test', old: 'Host:old.test' })
  assert.equal(config.errors, [])
  assert.ok(reader.claims({ host: 'a' }))
  assert.not.ok(reader.claims({ 'com.example.team': 'web' }))
})

test('labels of two dialects on one service: the dialect earlier in the registry reads it', () => {
  const both = [found('both', { host: 'new.test', 'traefik.frontend.rule': 'Host:old.test', 'traefik.port': '80' })]
  assert.equal(rulesOf(createLabelReader(OPTIONS, [oneLabel, ...DIALECTS]).read(both)), { both: 'Host:new.test' })
  assert.equal(rulesOf(createLabelReader(OPTIONS, [...DIALECTS, oneLabel]).read(both)), { both: 'Host:old.test' })
})

test('one dialect: the result is that of the dialect itself', () => {
  const reader = createLabelReader(OPTIONS)
  assert.equal(reader.read(SERVICES), readTraefikV1(SERVICES, OPTIONS))
  assert.equal(rulesOf(reader.read(SERVICES)), { old: 'Host:old.test' })
})

test('no services: a wrong constraint is reported all the same', () => {
  const { errors } = createLabelReader({ ...OPTIONS, constraints: ['nonsense'] }).read([])
  assert.match(errors[0]?.message ?? '', /no service is exposed/)
})

test('two dialects that make routers of one name: the first keeps it, the other is reported', () => {
  const same = [found('web', { 'traefik.frontend.rule': 'Host:a.test', 'traefik.port': '80' }), found('web', { host: 'b.test' })]
  const config = createLabelReader(OPTIONS, [...DIALECTS, oneLabel]).read(same)
  assert.equal(rulesOf(config), { web: 'Host:a.test' })
  assert.ok(config.errors.some(({ severity, message }) => severity === 'error' && message.includes('unique name')))
})

test.run()
