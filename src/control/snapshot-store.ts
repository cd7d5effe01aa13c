// The last good snapshot on disk: what a replica serves from when it starts while every manager is dead. It is `snapshot.json` of
// the data directory, or `snapshot.NAME.json` for a cluster with a name of its own, so that clusters which share a directory never
// serve each other's services. A file that is absent, corrupt or cannot be written is logged and never fatal. Spec: design,
// section 5 ("kept on disk").

import { join } from 'node:path'
import { readRegularFile } from '../util/read-regular-file.ts'
import { replaceFile } from '../util/replace-file.ts'

export interface SnapshotStore<Kept extends object> {
  /** The snapshot on disk if there is one that passes the check. Never throws. */
  load(): Kept | null
  /**
   * Keeps the snapshot; of several asked for while one is being written only the last is. Resolves when it is on disk or was
   * given up. Never rejects.
   */
  save(snapshot: Kept): Promise<void>
}

export interface SnapshotStoreOptions<Kept extends object> {
  /** null: nothing is kept. */
  readonly dataDir: string | null
  /** Name of the cluster; absent or null: the default name, or no cluster. */
  readonly cluster?: string | null
  /** The check of what was read: the snapshot, or the reason why it is none. */
  readonly validate: (value: unknown) => Kept | string
  readonly warn: (fields: object, message: string) => void
}

/** Far above what any swarm needs; a file beyond it was not written by Skein. */
const MOST_BYTES = 64 * 1024 * 1024

/** Touches the disk with the first `load` or `save`. */
export function createSnapshotStore<Kept extends object>(options: SnapshotStoreOptions<Kept>): SnapshotStore<Kept> {
  const { dataDir, cluster = null, validate, warn } = options
  const path = dataDir === null ? null : join(dataDir, cluster === null ? 'snapshot.json' : `snapshot.${cluster}.json`)
  let waiting: Kept | null = null
  let writing: Promise<void> | null = null
  let failing = false

  async function writeAll(file: string): Promise<void> {
    while (waiting !== null) {
      const next: Kept = waiting
      waiting = null
      try {
        const text = JSON.stringify(next)
        if (text.length > MOST_BYTES) throw new Error(`it is larger than ${MOST_BYTES} bytes`)
        await replaceFile(file, text)
        failing = false
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        if (!failing)
          warn({ path: file, reason }, 'cannot keep the configuration on disk (--data-dir): it would not survive a restart')
        failing = true
      }
    }
    writing = null
  }

  return {
    load() {
      if (path === null) return null
      let result: Kept | string
      try {
        const text = readRegularFile(path, MOST_BYTES)
        if (text === null) return null
        result = validate(JSON.parse(text))
      } catch (error) {
        result = error instanceof Error ? error.message : String(error)
      }
      if (typeof result !== 'string') return result
      warn({ path, reason: result }, 'the configuration kept on disk cannot be used; it is ignored')
      return null
    },
    save(snapshot) {
      if (path === null) return Promise.resolve()
      waiting = snapshot
      writing ??= writeAll(path)
      return writing
    },
  }
}
