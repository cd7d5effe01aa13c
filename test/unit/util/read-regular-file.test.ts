import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readRegularFile } from '../../../src/util/read-regular-file.ts'

const directory = mkdtempSync(join(tmpdir(), 'skein-'))
const path = join(directory, 'file')

test.after(() => rmSync(directory, { recursive: true }))

test('a file is read; a missing one is null', () => {
  writeFileSync(path, 'text')
  assert.is(readRegularFile(path, 4), 'text')
  assert.is(readRegularFile(join(directory, 'none'), 4), null)
})

test('a too large file, a directory and a pipe without a writer are refused at once', () => {
  assert.throws(() => readRegularFile(path, 3), /has 4 bytes, expected at most 3/)
  assert.throws(() => readRegularFile(directory, 4), /not a regular file/)
  if (process.platform === 'win32') return
  execFileSync('mkfifo', [join(directory, 'pipe')])
  assert.throws(() => readRegularFile(join(directory, 'pipe'), 4), /not a regular file/)
})

test.run()
