import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../../cluster/core/state.ts'
import type { DynamicConfig } from '../../../src/config/model.ts'
import { filesDigest, hasFiles, shapingOptionsOf } from '../../../src/control/shaping-options.ts'
import { readTraefikV1Files } from '../../../src/labels/traefik-v1/file.ts'
import type { RunOptions } from '../../../src/options/options.ts'

const swarm: RunOptions['swarm'] = {
  managers: ['tcp://10.0.0.1:2375'],
  tls: { ca: null, cert: null, key: null },
  learnManagers: true,
  domain: 'a.test',
  exposedByDefault: true,
  network: null,
  constraints: [],
  labelPrefix: 'traefik',
  pollRestMs: 2000,
  pollBusyMs: 250,
  callTimeoutMs: 3000,
}

function optionsWith(change: Partial<RunOptions['swarm']>, files: readonly string[] = []): RunOptions {
  return { swarm: { ...swarm, ...change }, files } as unknown as RunOptions
}

test('the options that shape the configuration are announced by name', () => {
  assert.equal(shapingOptionsOf(optionsWith({}), null), {
    manager: 'given',
    'services-file': '(none)',
    'label-prefix': 'traefik',
    domain: 'a.test',
    'exposed-by-default': 'true',
    network: '(none)',
    constraint: '(none)',
  })
})

test('the order of constraints is ignored; long lists are cut and still differ', () => {
  const constraintOf = (constraints: readonly string[]) => shapingOptionsOf(optionsWith({ constraints }), null).constraint
  assert.is(constraintOf(['tag==b', 'tag==a', 'tag==b']), constraintOf(['tag==a', 'tag==b']))
  const long = Array.from({ length: 50 }, (_, i) => `tag!=${i}-${'x'.repeat(100)}`)
  assert.ok((constraintOf(long)?.length ?? 0) <= LIMITS.text)
  assert.is.not(constraintOf(long), constraintOf([...long, 'tag!=z']))
})

test('without a manager, options of labels are not announced', () => {
  assert.equal(shapingOptionsOf(optionsWith({ managers: [] }, ['/a.toml']), '1234abcd'), {
    manager: '(none)',
    'services-file': 'given, content 1234abcd',
  })
})

test('files are compared by content, not by path', () => {
  const read = (path: string, host: string): DynamicConfig =>
    readTraefikV1Files([
      {
        path,
        content: {
          backends: { b: { servers: { s: { url: 'http://10.0.0.1' } } } },
          frontends: { f: { backend: 'b', routes: { r: { rule: `Host:${host}` } } } },
        },
      },
    ])
  assert.is(filesDigest(read('/a.toml', 'x')), filesDigest(read('/b.toml', 'x')))
  assert.is.not(filesDigest(read('/a.toml', 'x')), filesDigest(read('/a.toml', 'y')))
})

test('hasFiles: announced options of members with and without services files', () => {
  assert.ok(hasFiles(shapingOptionsOf(optionsWith({}, ['/a.toml']), null)))
  assert.not.ok(hasFiles(shapingOptionsOf(optionsWith({}), null)))
  assert.not.ok(hasFiles(undefined))
})

test.run()
