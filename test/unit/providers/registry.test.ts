import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { DynamicConfig } from '../../../src/config/model.ts'
import type { RunOptions } from '../../../src/options/options.ts'
import { createProviders, PROVIDERS } from '../../../src/providers/registry.ts'
import type { ClusterLink, Provider, ProviderType } from '../../../src/providers/shared/provider.ts'

const log = pino({ level: 'silent' })
const NOTHING = { swarm: { managers: [] }, files: [], secrets: [], name: 'e1', dataDir: null } as unknown as RunOptions
const SECOND = { ...NOTHING, domain: 'second' } as unknown as RunOptions

function configOf(name: string): DynamicConfig {
  return { routers: {}, services: {}, middlewares: { [name]: { kind: 'addPrefix', prefix: '/a' } }, errors: [] }
}

/** A source that emits a configuration for each call of `say`, and has no cluster part. */
function constantType(): { readonly type: ProviderType; say(name: string): void } {
  let emit: (config: DynamicConfig) => void = () => undefined
  const provider: Provider = {
    name: 'constant',
    start(onConfig) {
      emit = onConfig
    },
    stop: async () => undefined,
    status: () => ({
      provider: 'constant',
      synced: true,
      lastSuccessMs: 0,
      lastError: null,
      sources: [{ source: 'memory', state: 'healthy', lastError: null }],
    }),
  }
  const type: ProviderType = { name: 'constant', create: ({ options }) => (options === NOTHING ? null : provider) }
  return { type, say: name => emit(configOf(name)) }
}

function emitted(type: ProviderType, cluster: ClusterLink | null = null) {
  const [provider] = createProviders({ options: SECOND, log, cluster }, [type])
  if (provider === undefined) throw new Error('not created')
  const names: string[] = []
  provider.start(config => void names.push(...Object.keys(config.middlewares)))
  return { provider, names }
}

test('options that name no source: no provider is created', () => {
  assert.equal(createProviders({ options: NOTHING, log, cluster: null }), [])
  assert.equal(createProviders({ options: NOTHING, log, cluster: null }, [constantType().type]), [])
})

test('the registry holds the Swarm and the file provider', () => {
  assert.equal(
    PROVIDERS.map(({ name }) => name),
    ['swarm', 'file'],
  )
})

test('a provider of start, stop and status alone: its configurations are passed on', () => {
  const { type, say } = constantType()
  const { provider, names } = emitted(type)
  say('a')
  say('b')
  assert.equal(names, ['a', 'b'])
  assert.equal(provider.status().sources, [{ source: 'memory', state: 'healthy', lastError: null }])
  assert.is(provider.cluster.shared, undefined)
})

test('in a cluster such a provider emits only while this replica leads', () => {
  const { type, say } = constantType()
  const { provider, names } = emitted(type)
  provider.cluster.setMode('listen')
  say('a')
  say('b')
  assert.equal(names, [])
  provider.cluster.setMode('read')
  assert.equal(names, ['b'], 'the last configuration, at once')
  say('c')
  assert.equal(names, ['b', 'c'])
})

test('a provider with a cluster part of its own is used as it is', () => {
  const provider: Provider = {
    name: 'aware',
    start: () => undefined,
    stop: async () => undefined,
    status: () => ({ provider: 'aware', synced: false, lastSuccessMs: null, lastError: null }),
    cluster: { setMode: () => undefined },
  }
  const [created] = createProviders({ options: SECOND, log, cluster: null }, [{ name: 'aware', create: () => provider }])
  assert.is(created, provider)
})

test.run()
