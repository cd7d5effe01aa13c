// Entries of the secret state as they are replicated and kept on disk: a name, a version, and the sealed value (sealing.ts). A
// deleted entry (a tombstone) has a sealed empty value, which authenticates the deletion. Names are not secret. One text format serves the network and the disk; its SHA-256
// covers only sealed bytes, so no digest reveals anything about a value. Pure.

import { createHash } from 'node:crypto'
import { z } from 'zod'
import { UNPRINTABLE } from '../core/clamp.ts'
import type { MemberId } from '../core/state.ts'
import { OVERHEAD_BYTES } from './sealing.ts'

/**
 * Order of writes: by term, sequence and writer. The same write sealed again after a rotation of the cluster secret differs only
 * in `seal`, so that it never overrides a later write of the other side of a partition.
 */
export interface SecretVersion {
  /** At least the term in which the writer led. */
  readonly term: number
  readonly sequence: number
  readonly writer: MemberId
  /** How often the write has been sealed again. */
  readonly seal: number
}

export interface SecretRecord {
  readonly name: string
  readonly version: SecretVersion
  readonly deleted: boolean
  /** The sealed value; of a deleted entry, an empty one. */
  readonly sealed: Buffer
  /** SHA-256 of the record's text, hex. */
  readonly hash: string
}

/** Limits of a writer. Receivers accept twice as many entries and bytes, so that two sides of a partition can be merged. */
export const SECRET_LIMITS = {
  entries: 10_000,
  tombstones: 10_000,
  /** Bytes of one value. */
  value: 1024 * 1024,
  /** Bytes of all sealed values. */
  total: 256 * 1024 * 1024,
  /** Characters of a name. */
  name: 256,
  /** Records in one manifest: several times the share of one of the 64 buckets. */
  manifest: 4_096,
} as const

/** Well below 2^53, so that sums stay exact. */
const MAX_NUMBER = 2 ** 48
const unprintable = new RegExp(UNPRINTABLE.source, 'u')

const name = z
  .string()
  .min(1)
  .max(SECRET_LIMITS.name)
  .refine(text => !unprintable.test(text))
const count = z.int().min(0).max(MAX_NUMBER)
const writer = z.string().min(1).max(256)
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/)

const TOMBSTONE_BASE64_LENGTH = Math.ceil(OVERHEAD_BYTES / 3) * 4

const recordText = z.tuple([
  z.literal(1),
  name,
  count,
  count,
  writer,
  count,
  z.boolean(),
  z.base64().max(Math.ceil((SECRET_LIMITS.value + OVERHEAD_BYTES) / 3) * 4),
])

/** One entry in a manifest: name, term, sequence, writer, seal, hash of the record, and the sealed empty value if it is deleted. */
const manifest = z
  .array(z.tuple([name, count, count, writer, count, sha256Hex, z.base64().length(TOMBSTONE_BASE64_LENGTH).nullable()]))
  .max(SECRET_LIMITS.manifest)

export type ManifestEntry = z.infer<typeof manifest>[number]

export function isValidName(text: string): boolean {
  return name.safeParse(text).success
}

/** Negative, 0 or positive. */
export function compareVersions(a: SecretVersion, b: SecretVersion): number {
  return a.term - b.term || a.sequence - b.sequence || compareText(a.writer, b.writer) || a.seal - b.seal
}

/** By version, then by hash: two leaders may have sealed one write again at the same time, and all members must keep the same. */
export function compareRecords(a: Pick<SecretRecord, 'version' | 'hash'>, b: Pick<SecretRecord, 'version' | 'hash'>): number {
  return compareVersions(a.version, b.version) || compareText(a.hash, b.hash)
}

export function makeRecord(name: string, version: SecretVersion, sealed: Buffer, deleted = false): SecretRecord {
  return { name, version, deleted, sealed, hash: sha256(textOf({ name, version, deleted, sealed })) }
}

export function encodeRecord(record: SecretRecord): string {
  return textOf(record)
}

/** What is authenticated with a sealed value. */
export function contextOf({ name, version, deleted }: Pick<SecretRecord, 'name' | 'version' | 'deleted'>): string {
  const { term, sequence, writer, seal } = version
  return JSON.stringify([name, term, sequence, writer, seal, deleted])
}

/** @returns null for anything that encodeRecord does not produce */
export function decodeRecord(text: string): SecretRecord | null {
  const parsed = recordText.safeParse(parseJson(text))
  if (!parsed.success) return null
  const [, name, term, sequence, writer, seal, deleted, base64] = parsed.data
  if (deleted && base64.length !== TOMBSTONE_BASE64_LENGTH) return null
  const record = makeRecord(name, { term, sequence, writer, seal }, Buffer.from(base64, 'base64'), deleted)
  return encodeRecord(record) === text ? record : null
}

export function encodeManifest(records: readonly SecretRecord[]): string {
  const entries: ManifestEntry[] = records.map(({ name, version, deleted, sealed, hash }) => [
    name,
    version.term,
    version.sequence,
    version.writer,
    version.seal,
    hash,
    deleted ? sealed.toString('base64') : null,
  ])
  return JSON.stringify(entries)
}

/** @returns null for an invalid manifest */
export function decodeManifest(text: string): readonly ManifestEntry[] | null {
  const parsed = manifest.safeParse(parseJson(text))
  return parsed.success ? parsed.data : null
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function textOf({ name, version, deleted, sealed }: Omit<SecretRecord, 'hash'>): string {
  const { term, sequence, writer, seal } = version
  return JSON.stringify([1, name, term, sequence, writer, seal, deleted, sealed.toString('base64')])
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
