import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { optionsEnvironment, readBounded } from '../../../src/cli/start.ts'

const directory = mkdtempSync(join(tmpdir(), 'skein-start-'))
test.after(() => rmSync(directory, { recursive: true, force: true }))

test('a file is read up to its bound, and not beyond', () => {
  const path = join(directory, 'file')
  writeFileSync(path, 'täst')
  assert.is(readBounded(path, 5), 'täst')
  assert.throws(() => readBounded(path, 4), /larger than 4 bytes/)
})

test('a device that never ends is refused', () => {
  assert.throws(() => readBounded('/dev/zero', 1024), /larger than 1024 bytes/)
})

test('what is no file throws as node does', () => {
  assert.throws(
    () => readBounded(join(directory, 'none'), 10),
    (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
  )
  assert.throws(
    () => readBounded(directory, 10),
    (error: NodeJS.ErrnoException) => error.code === 'EISDIR',
  )
})

test('a random key is never the same', () => {
  const { randomKey, cores } = optionsEnvironment([])
  assert.match(randomKey(), /^[0-9a-f]{64}$/)
  assert.is.not(randomKey(), randomKey())
  assert.ok(cores >= 1)
})

test.run()
