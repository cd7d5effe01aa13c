// The secret state on disk: what is written is loaded, damage costs one entry, failures are logged once.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SecretDisk } from '../../../../cluster/secrets/disk.ts'
import { makeRecord, type SecretRecord } from '../../../../cluster/secrets/record.ts'
import { OVERHEAD_BYTES } from '../../../../cluster/secrets/sealing.ts'

function setup() {
  const parent = mkdtempSync(join(tmpdir(), 'skein-secrets-'))
  const lines: string[] = []
  const line = (_: object, message: string): void => void lines.push(message)
  const log = { debug: line, info: line, warn: line, error: line }
  const directory = join(parent, 'secrets')
  return { parent, directory, lines, open: (retryMs?: number) => new SecretDisk(directory, log, retryMs) }
}

const record = (name: string, sequence: number, deleted = false): SecretRecord =>
  makeRecord(
    name,
    { term: 1, sequence, writer: 'w', seal: 0 },
    deleted ? Buffer.alloc(OVERHEAD_BYTES) : Buffer.from(`sealed ${name}`),
    deleted,
  )
const byName = (records: readonly SecretRecord[]) => [...records].sort((a, b) => (a.name < b.name ? -1 : 1))

test('records and tombstones are loaded as they were saved; the last record of a name counts', async () => {
  const { parent, directory, open } = setup()
  const disk = open()
  for (const each of [record('a', 1), record('b', 2), record('a', 3), record('c', 4, true), record('d', 5)]) disk.save(each)
  disk.erase('d')
  await disk.flush()
  assert.equal(byName(await open().load()), [record('a', 3), record('b', 2), record('c', 4, true)])
  assert.is(statSync(directory).mode & 0o777, 0o700)
  for (const file of readdirSync(directory)) assert.is(statSync(join(directory, file)).mode & 0o777, 0o600)
  rmSync(parent, { recursive: true })
})

test('a missing directory is an empty state, without a log line', async () => {
  const { parent, lines, open } = setup()
  assert.equal(await open().load(), [])
  assert.equal(lines, [])
  rmSync(parent, { recursive: true })
})

test('a damaged file costs its own entry only', async () => {
  const { parent, directory, lines, open } = setup()
  const disk = open()
  for (const name of ['a', 'b', 'c']) disk.save(record(name, 1))
  await disk.flush()
  const [first, second] = readdirSync(directory)
  const text = readFileSync(join(directory, first!), 'utf8')
  writeFileSync(join(directory, first!), text.slice(0, -9))
  writeFileSync(join(directory, second!), text)
  writeFileSync(join(directory, `${first!}.tmp`), 'an interrupted write')
  assert.is((await open().load()).length, 1)
  assert.equal(lines, ['ignoring damaged files of the secret state; peers replace them'])
  rmSync(parent, { recursive: true })
})

test('a failed write is logged once and repeated with the next change', async () => {
  const { parent, directory, lines, open } = setup()
  writeFileSync(directory, 'a file in place of the directory')
  const disk = open()
  disk.save(record('a', 1))
  await disk.flush()
  disk.save(record('b', 1))
  await disk.flush()
  assert.equal(lines, ['cannot write the secret state to disk: after a restart only peers provide it; trying again'])
  rmSync(directory)
  disk.save(record('c', 1))
  await disk.flush()
  assert.is(lines.at(-1), 'the secret state can be written to disk again')
  assert.is((await open().load()).length, 3)
  rmSync(parent, { recursive: true })
})

test('a file that cannot be written does not block others, and is repeated after a delay', async () => {
  const { parent, directory, open } = setup()
  const blocked = join(directory, `${createHash('sha256').update('a').digest('hex')}.json`)
  mkdirSync(blocked, { recursive: true })
  const disk = open(20)
  for (const name of ['a', 'b', 'c']) disk.save(record(name, 1))
  await disk.flush()
  assert.equal(byName(await open().load()), [record('b', 1), record('c', 1)])
  rmSync(blocked, { recursive: true })
  const until = performance.now() + 5_000
  while (performance.now() < until && (await open().load()).length < 3) await new Promise(resolve => setTimeout(resolve, 20))
  assert.is((await open().load()).length, 3)
  disk.close()
  rmSync(parent, { recursive: true })
})

test('a FIFO in place of a file does not block the start; temporary files are removed', async () => {
  const { parent, directory, lines, open } = setup()
  const disk = open()
  disk.save(record('a', 1))
  await disk.flush()
  const fifo = join(directory, `${'0'.repeat(64)}.json`)
  execFileSync('mkfifo', [fifo])
  writeFileSync(join(directory, `${'1'.repeat(64)}.json.tmp`), 'an interrupted write')
  const limit = new Promise<null>(resolve => setTimeout(resolve, 3_000, null))
  const records = await Promise.race([open().load(), limit])
  // Ends a reader that blocks, so that a failure of this test does not hang the process.
  if (records === null) writeFileSync(fifo, '')
  assert.equal(records, [record('a', 1)])
  assert.equal(lines, ['ignoring damaged files of the secret state; peers replace them'])
  assert.is(readdirSync(directory).filter(file => file.endsWith('.tmp')).length, 0)
  rmSync(parent, { recursive: true })
})

test.run()
