// Entries of the secret state as they are replicated and kept on disk: a name, a version, and the sealed value (sealing.ts), or
// none for a deleted entry (a tombstone). Names are not secret. One text format serves the network and the disk; its SHA-256
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
  /** null: deleted. */
  readonly sealed: Buffer | null
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

const recordText = z.tuple([
  z.literal(1),
  name,
  count,
  count,
  writer,
  count,
  z
    .base64()
    .max(Math.ceil((SECRET_LIMITS.value + OVERHEAD_BYTES) / 3) * 4)
    .nullable(),
])

/** One entry in a manifest: name, term, sequence, writer, seal, hash of the record, and whether it is deleted. */
const manifest = z.array(z.tuple([name, count, count, writer, count, sha256Hex, z.boolean()])).max(SECRET_LIMITS.manifest)

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

export function makeRecord(name: string, version: SecretVersion, sealed: Buffer | null): SecretRecord {
  return { name, version, sealed, hash: sha256(textOf(name, version, sealed)) }
}

export function encodeRecord({ name, version, sealed }: SecretRecord): string {
  return textOf(name, version, sealed)
}

/** @returns null for anything that encodeRecord does not produce */
export function decodeRecord(text: string): SecretRecord | null {
  const parsed = recordText.safeParse(parseJson(text))
  if (!parsed.success) return null
  const [, name, term, sequence, writer, seal, base64] = parsed.data
  const record = makeRecord(name, { term, sequence, writer, seal }, base64 === null ? null : Buffer.from(base64, 'base64'))
  return encodeRecord(record) === text ? record : null
}

export function encodeManifest(records: readonly SecretRecord[]): string {
  const entries: ManifestEntry[] = records.map(({ name, version, sealed, hash }) => [
    name,
    version.term,
    version.sequence,
    version.writer,
    version.seal,
    hash,
    sealed === null,
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

function textOf(name: string, { term, sequence, writer, seal }: SecretVersion, sealed: Buffer | null): string {
  return JSON.stringify([1, name, term, sequence, writer, seal, sealed === null ? null : sealed.toString('base64')])
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
