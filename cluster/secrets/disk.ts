// Keeps the records of the secret state on disk: one file per entry, sealed as it was replicated, in a directory that only the
// owner can read. A file is replaced by writing, fsync and rename, so a crash leaves the old or the new record. A damaged file
// affects its own entry only, and a peer replaces it. A failed write affects its own entry only, is logged once, and is repeated
// with the next change or after a delay.

import { createHash } from 'node:crypto'
import { constants, mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type ClusterLog, reasonOf } from '../log.ts'
import { decodeRecord, encodeRecord, SECRET_LIMITS, type SecretRecord } from './record.ts'

const FILE = /^[0-9a-f]{64}\.json$/
/** Left by a crash during a write. */
const TEMPORARY = /^[0-9a-f]{64}\.json\.tmp$/
/** Base64 of the largest value, and the rest of the record. */
const MAX_FILE_BYTES = 2 * SECRET_LIMITS.value
const MAX_FILES = 2 * (SECRET_LIMITS.entries + SECRET_LIMITS.tombstones)
/** Delay before failed writes are repeated, ms. */
const RETRY_MS = 10_000

export class SecretDisk {
  readonly #directory: string
  readonly #log: ClusterLog
  readonly #retryMs: number
  /** Changes to be written: the record, or null to remove the file. */
  readonly #pending = new Map<string, SecretRecord | null>()
  #writing: Promise<void> | null = null
  #retry: NodeJS.Timeout | undefined
  #failing = false
  #closed = false

  constructor(directory: string, log: ClusterLog, retryMs = RETRY_MS) {
    this.#directory = directory
    this.#log = log
    this.#retryMs = retryMs
  }

  /** All valid records; removes temporary files, so it is called before the first write. Never rejects; what cannot be read is logged. */
  async load(): Promise<readonly SecretRecord[]> {
    const records: SecretRecord[] = []
    let damaged = 0
    try {
      const all = await readdir(this.#directory)
      for (const file of all.filter(file => TEMPORARY.test(file)))
        await unlink(join(this.#directory, file)).catch(() => undefined)
      for (const file of all.filter(file => FILE.test(file)).slice(0, MAX_FILES)) {
        const record = await readRecord(join(this.#directory, file))
        if (record === null || fileOf(record.name) !== file) damaged++
        else records.push(record)
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.warn(
          { path: this.#directory, err: reasonOf(error) },
          'the secret state on disk cannot be read; peers provide it',
        )
    }
    if (damaged > 0)
      this.#log.warn({ path: this.#directory, files: damaged }, 'ignoring damaged files of the secret state; peers replace them')
    return records
  }

  save(record: SecretRecord): void {
    this.#pending.set(record.name, record)
    this.#writing ??= this.#write()
  }

  erase(name: string): void {
    this.#pending.set(name, null)
    this.#writing ??= this.#write()
  }

  /** Resolves when everything saved before has been written, or has failed. */
  async flush(): Promise<void> {
    if (this.#pending.size > 0) this.#writing ??= this.#write()
    while (this.#writing !== null) await this.#writing
  }

  /** Ends the retries of failed writes. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
  }

  async #write(): Promise<void> {
    // Starts in a turn of its own, so that changes of one turn are written together.
    await null
    clearTimeout(this.#retry)
    let failure: unknown = null
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 })
      // The iteration includes names that are added meanwhile.
      for (const [name, record] of this.#pending) {
        try {
          await this.#writeOne(name, record)
        } catch (error) {
          failure ??= error
          continue
        }
        const latest = this.#pending.get(name)
        this.#pending.delete(name)
        // A later record of this name was saved meanwhile.
        if (latest !== undefined && latest !== record) this.#pending.set(name, latest)
      }
      await syncDirectory(this.#directory)
    } catch (error) {
      failure ??= error
    }
    this.#writing = null
    this.#report(failure)
    if (failure === null) {
      // Saved while the directory was synced.
      if (this.#pending.size > 0) this.#writing = this.#write()
    } else if (!this.#closed) {
      this.#retry = setTimeout(() => void this.flush(), this.#retryMs)
      this.#retry.unref()
    }
  }

  async #writeOne(name: string, record: SecretRecord | null): Promise<void> {
    const path = join(this.#directory, fileOf(name))
    if (record !== null) return replace(path, encodeRecord(record))
    try {
      await unlink(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }

  #report(failure: unknown): void {
    if (failure === null && this.#failing)
      this.#log.info({ path: this.#directory }, 'the secret state can be written to disk again')
    else if (failure !== null && !this.#failing)
      this.#log.warn(
        { path: this.#directory, err: reasonOf(failure) },
        'cannot write the secret state to disk: after a restart only peers provide it; trying again',
      )
    this.#failing = failure !== null
  }
}

/** null: damaged, too large, unreadable, or no regular file. Opening a FIFO does not block. */
async function readRecord(path: string): Promise<SecretRecord | null> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const stats = await file.stat()
      if (!stats.isFile() || stats.size > MAX_FILE_BYTES) return null
      // One byte more than the size: a file that grows meanwhile is not valid.
      const { buffer, bytesRead } = await file.read(Buffer.alloc(stats.size + 1), 0, stats.size + 1, 0)
      return bytesRead === stats.size ? decodeRecord(buffer.toString('utf8', 0, bytesRead)) : null
    } finally {
      await file.close()
    }
  } catch {
    return null
  }
}

async function replace(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}

/** Makes renames durable. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function fileOf(name: string): string {
  return `${createHash('sha256').update(name).digest('hex')}.json`
}
