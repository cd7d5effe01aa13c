// Keeps the last good snapshot on disk, so that a replica can serve while no manager can be read. The file is `snapshot.json` in the
// data directory, or `snapshot.NAME.json` for a cluster with its own name: clusters that share a directory never serve each other's
// services. A missing or corrupt file and a failed write are logged and never fatal.

import { join } from 'node:path'
import { readRegularFile } from '../util/read-regular-file.ts'
import { replaceFile } from '../util/replace-file.ts'

export interface SnapshotStore<Stored extends object> {
  /** The snapshot on disk; null if there is none or it fails validation. Never throws. */
  load(): Stored | null
  /**
   * Writes the snapshot. Of several calls during one write only the last is written. Resolves once the write has succeeded or
   * failed. Never rejects.
   */
  save(snapshot: Stored): Promise<void>
}

export interface SnapshotStoreOptions<Stored extends object> {
  /** null: nothing is written or read. */
  readonly dataDir: string | null
  /** Name of the cluster; absent or null for the default name or no cluster. */
  readonly cluster?: string | null
  /** Returns the snapshot, or the reason why the value is not one. */
  readonly validate: (value: unknown) => Stored | string
  readonly warn: (fields: object, message: string) => void
}

/** Far larger than any swarm needs; Skein writes no larger file. */
const MAX_BYTES = 64 * 1024 * 1024

/** The disk is first accessed by `load` or `save`. */
export function createSnapshotStore<Stored extends object>(options: SnapshotStoreOptions<Stored>): SnapshotStore<Stored> {
  const { dataDir, cluster = null, validate, warn } = options
  const path = dataDir === null ? null : join(dataDir, cluster === null ? 'snapshot.json' : `snapshot.${cluster}.json`)
  let pending: Stored | null = null
  let writing: Promise<void> | null = null
  let failing = false

  async function writePending(file: string): Promise<void> {
    while (pending !== null) {
      const next: Stored = pending
      pending = null
      try {
        const text = JSON.stringify(next)
        if (text.length > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`)
        await replaceFile(file, text)
        failing = false
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        if (!failing)
          warn(
            { path: file, reason },
            'cannot write the configuration to disk (--data-dir): it will not be available after a restart',
          )
        failing = true
      }
    }
    writing = null
  }

  return {
    load() {
      if (path === null) return null
      let result: Stored | string
      try {
        const text = readRegularFile(path, MAX_BYTES)
        if (text === null) return null
        result = validate(JSON.parse(text))
      } catch (error) {
        result = error instanceof Error ? error.message : String(error)
      }
      if (typeof result !== 'string') return result
      warn({ path, reason: result }, 'cannot use the configuration on disk; it is ignored')
      return null
    },
    save(snapshot) {
      if (path === null) return Promise.resolve()
      pending = snapshot
      writing ??= writePending(path)
      return writing
    },
  }
}
