// The running secret state: its stop is bounded, and errors do not leave it.

import { randomBytes } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SecretCore } from '../../../../cluster/secrets/core.ts'
import type { SecretDisk } from '../../../../cluster/secrets/disk.ts'
import { SecretReplica } from '../../../../cluster/secrets/replica.ts'
import { Keyring } from '../../../../cluster/secrets/sealing.ts'

function setup(disk: Partial<SecretDisk> | null = null) {
  const lines: string[] = []
  const line = (_: object, message: string): void => void lines.push(message)
  const core = new SecretCore({ id: 'a', keyring: new Keyring(['secret'], 'skein', randomBytes), kept: [] })
  const replica = new SecretReplica({
    core,
    disk: disk as SecretDisk | null,
    pull: () => Promise.reject(new Error('unused')),
    announce: () => undefined,
    changed: () => undefined,
    log: { debug: line, info: line, warn: line, error: line },
  })
  return { core, replica, lines }
}

test('a stop does not wait for a disk that hangs', async () => {
  const { replica, lines } = setup({ flush: () => new Promise(() => undefined), close: () => undefined })
  const limit = new Promise(resolve => setTimeout(resolve, 4_000, 'unfinished'))
  assert.is(await Promise.race([replica.stop(), limit]), undefined)
  assert.match(lines[0]!, /not written to disk in time/)
})

test('an error while an event is processed is logged once and does not leave the replica', () => {
  const { core, replica, lines } = setup()
  core.step = () => {
    throw new Error('broken')
  }
  replica.dispatch({ kind: 'tick' })
  replica.dispatch({ kind: 'tick' })
  assert.equal(lines, ['internal error: an event of the secret state could not be processed and is ignored'])
})

test.run()
