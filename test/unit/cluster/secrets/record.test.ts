// Records of the secret state: order, text format, and manifests.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  compareRecords,
  decodeManifest,
  decodeRecord,
  encodeManifest,
  encodeRecord,
  isValidName,
  makeRecord,
} from '../../../../cluster/secrets/record.ts'
import { OVERHEAD_BYTES } from '../../../../cluster/secrets/sealing.ts'

const version = { term: 3, sequence: 7, writer: 'w', seal: 0 }
const TOMBSTONE = Buffer.alloc(OVERHEAD_BYTES)
const record = makeRecord('cert/shop.test', version, Buffer.from('sealed'))

test('records are ordered by term, sequence, writer, seal, then hash', () => {
  const higher = [
    { ...version, term: 4, sequence: 1 },
    { ...version, sequence: 8 },
    { ...version, writer: 'x' },
    { ...version, seal: 1 },
  ]
  for (const each of higher)
    assert.ok(compareRecords(makeRecord('n', each, TOMBSTONE, true), makeRecord('n', version, TOMBSTONE, true)) > 0)
  assert.is(compareRecords(record, record), 0)
  assert.is.not(compareRecords(record, makeRecord(record.name, version, Buffer.from('other'))), 0)
})

test('a later write wins over an older one that was sealed again', () => {
  const resealed = makeRecord('n', { ...version, seal: 9 }, TOMBSTONE, true)
  assert.ok(compareRecords(makeRecord('n', { ...version, sequence: 8 }, TOMBSTONE, true), resealed) > 0)
})

test('a record and a tombstone survive a round trip', () => {
  for (const each of [record, makeRecord('n', version, TOMBSTONE, true)]) assert.equal(decodeRecord(encodeRecord(each)), each)
})

test('anything but a canonical record is refused', () => {
  const text = encodeRecord(record)
  const invalid = [
    '',
    '{}',
    '[]',
    text.replace('[1,', '[2,'),
    text.replace('[1,', '[1, '),
    text.replace('7', '-7'),
    text.slice(1),
  ]
  for (const each of invalid) assert.is(decodeRecord(each), null, each)
})

test('names are bounded and printable', () => {
  assert.ok(isValidName('acme/account'))
  for (const name of ['', 'x'.repeat(257), 'a\nb', 'a\u202eb']) assert.not(isValidName(name))
})

test('a manifest lists name, version, hash and deletion', () => {
  const text = encodeManifest([record, makeRecord('n', version, TOMBSTONE, true)])
  assert.equal(
    decodeManifest(text)?.map(([name, , , , , , deleted]) => [name, deleted !== null]),
    [
      ['cert/shop.test', false],
      ['n', true],
    ],
  )
  for (const each of ['', 'null', '[[]]', text.replace('3', '"3"')]) assert.is(decodeManifest(each), null, each)
})

test.run()
