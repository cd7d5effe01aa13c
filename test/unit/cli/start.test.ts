import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { optionsEnvironment, readTextFile } from '../../../src/cli/start.ts'

const directory = mkdtempSync(join(tmpdir(), 'skein-start-'))
test.after(() => rmSync(directory, { recursive: true, force: true }))

test('a file of at most the bound is read; a larger one is refused', () => {
  const path = join(directory, 'file')
  writeFileSync(path, 'täst')
  assert.is(readTextFile(path, 5), 'täst')
  assert.throws(() => readTextFile(path, 4), /larger than 4 bytes/)
})

test('an endless device is refused', () => {
  assert.throws(() => readTextFile('/dev/zero', 1024), /larger than 1024 bytes/)
})

test('a missing file and a directory throw like node:fs', () => {
  assert.throws(
    () => readTextFile(join(directory, 'none'), 10),
    (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
  )
  assert.throws(
    () => readTextFile(directory, 10),
    (error: NodeJS.ErrnoException) => error.code === 'EISDIR',
  )
})

test('each random key is different', () => {
  const { randomKey, cores } = optionsEnvironment([])
  assert.match(randomKey(), /^[0-9a-f]{64}$/)
  assert.is.not(randomKey(), randomKey())
  assert.ok(cores >= 1)
})

test.run()
