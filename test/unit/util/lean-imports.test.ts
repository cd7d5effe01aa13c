// dockerode without the packages that Skein does not use.

import { createRequire } from 'node:module'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { loadDockerode } from '../../../src/util/lean-imports.ts'

const require = createRequire(import.meta.url)
const loaded = (name: string): boolean => Object.keys(require.cache).some(path => path.includes(`/node_modules/${name}/`))

test('dockerode is loaded once and without SSH, gRPC or protobuf', () => {
  const Docker = loadDockerode()
  assert.is(loadDockerode(), Docker)
  assert.is(typeof new Docker({ socketPath: '/nonexistent' }).listServices, 'function')
  for (const name of ['ssh2', '@grpc/grpc-js', 'protobufjs', 'tar-fs']) assert.not(loaded(name), `${name} was loaded`)
})

test('the replaced packages can still be loaded by other code', () => {
  loadDockerode()
  assert.is(typeof (require('ssh2') as { Client?: unknown }).Client, 'function')
})

test.run()
