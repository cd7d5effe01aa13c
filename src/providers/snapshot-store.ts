// The last good snapshot, kept in `snapshot.json` of the data directory: what a replica serves from when it starts while every
// manager is dead. A file that is absent, corrupt or cannot be written is logged and never fatal. Spec: design, section 5
// ("kept on disk").

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Snapshot } from '../config/model.ts'
import { replaceFile } from './replace-file.ts'

export interface SnapshotStore {
  /** The snapshot on disk if there is one that passes the check. */
  load(): Snapshot | null
  /**
   * Keeps the snapshot; of several asked for while one is being written only the last is. Resolves when it is on disk or was
   * given up. Never rejects.
   */
  save(snapshot: Snapshot): Promise<void>
}

export interface SnapshotStoreOptions {
  /** null: nothing is kept. */
  readonly dataDir: string | null
  /** The schema check of config/schema.ts; null when the value is no snapshot. */
  readonly validate: (value: unknown) => Snapshot | null
  readonly warn: (fields: object, message: string) => void
}

export function createSnapshotStore({ dataDir, validate, warn }: SnapshotStoreOptions): SnapshotStore {
  const path = dataDir === null ? null : join(dataDir, 'snapshot.json')
  let waiting: Snapshot | null = null
  let writing: Promise<void> | null = null
  let failing = false

  async function writeAll(file: string): Promise<void> {
    while (waiting !== null) {
      const next: Snapshot = waiting
      waiting = null
      try {
        await replaceFile(file, JSON.stringify(next))
        failing = false
      } catch (error) {
        if (!failing) warn({ path: file, err: error }, 'cannot keep the configuration on disk')
        failing = true
      }
    }
    writing = null
  }

  return {
    load() {
      if (path === null) return null
      let value: unknown
      try {
        value = JSON.parse(readFileSync(path, 'utf8'))
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
        warn(
          { path, reason: error instanceof Error ? error.message : String(error) },
          'the configuration kept on disk cannot be read; it is ignored',
        )
        return null
      }
      const snapshot = validate(value)
      if (snapshot === null) warn({ path }, 'the configuration kept on disk is not valid; it is ignored')
      return snapshot
    },
    save(snapshot) {
      if (path === null) return Promise.resolve()
      waiting = snapshot
      writing ??= writeAll(path)
      return writing
    },
  }
}
