// The running secret state of a member: the pure core (core.ts) with pulls over the cluster's network and records on disk.

import type { MemberId } from '../core/state.ts'
import { type ClusterLog, reasonOf } from '../log.ts'
import { KeyedLogLimit } from '../rate-limit.ts'
import type { SecretCore, SecretEffect, SecretEvent, SecretStatus, WriteRefusal, Written } from './core.ts'
import type { SecretDisk } from './disk.ts'
import type { SecretVersion } from './record.ts'

/** Time for the last changes to reach the disk when the member stops, ms. */
const STOP_TIMEOUT_MS = 2_000

export type WriteResult =
  | { readonly ok: true; readonly version: SecretVersion }
  | { readonly ok: false; readonly reason: WriteRefusal }

/** The secret state as src/ uses it. Values are in memory only while they are used; names are not secret. */
export interface SecretStore {
  /** The value of an entry; null: there is none, or no accepted cluster secret opens it. */
  get(name: string): Buffer | null
  /** Names of all entries, sorted. */
  names(): readonly string[]
  /** Writes an entry of at most SECRET_LIMITS.value bytes. Only the leader may write; wait for `status().synced` first. */
  put(name: string, value: Uint8Array): WriteResult
  remove(name: string): WriteResult
  status(): SecretStatus
}

export interface SecretReplicaOptions {
  readonly core: SecretCore
  /** null: nothing is kept on disk. */
  readonly disk: SecretDisk | null
  readonly pull: (from: MemberId, hash: string) => Promise<string>
  /** Announces the digest to the other members. */
  readonly announce: (digest: string) => void
  readonly changed: (names: readonly string[]) => void
  readonly log: ClusterLog
}

export class SecretReplica implements SecretStore {
  readonly #options: SecretReplicaOptions
  readonly #logLimit = new KeyedLogLimit()
  #running = true

  constructor(options: SecretReplicaOptions) {
    this.#options = options
  }

  get digest(): string {
    return this.#options.core.digest
  }

  get(name: string): Buffer | null {
    return this.#options.core.get(name)
  }

  names(): readonly string[] {
    return this.#options.core.names()
  }

  put(name: string, value: Uint8Array): WriteResult {
    return this.#written(this.#options.core.put(name, value))
  }

  remove(name: string): WriteResult {
    return this.#written(this.#options.core.remove(name))
  }

  status(): SecretStatus {
    return this.#options.core.status()
  }

  /** What peers may pull by its hash; null: not held. */
  bodyOf(hash: string): string | null {
    return this.#options.core.bodyOf(hash)
  }

  /** Never throws: an event that cannot be processed is logged and ignored. @returns whether it was processed */
  dispatch(event: SecretEvent): boolean {
    if (!this.#running) return false
    try {
      this.#apply(this.#options.core.step(event, performance.now()))
      return true
    } catch (error) {
      if (this.#logLimit.take(`event ${event.kind}`, performance.now()))
        this.#options.log.error(
          { event: event.kind, err: reasonOf(error) },
          'internal error: an event of the secret state could not be processed and is ignored',
        )
      return false
    }
  }

  /** Resolves when all changes are on disk, or after 2 s. */
  async stop(): Promise<void> {
    this.#running = false
    const { disk, log } = this.#options
    if (disk === null) return
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<'timeout'>(resolve => {
      timer = setTimeout(() => resolve('timeout'), STOP_TIMEOUT_MS)
    })
    if ((await Promise.race([disk.flush(), timeout])) === 'timeout')
      log.warn({}, 'the secret state was not written to disk in time: after a restart only peers provide the last changes')
    clearTimeout(timer)
    disk.close()
  }

  #written(written: Written): WriteResult {
    if (!written.ok) return written
    this.#apply(written.effects)
    return { ok: true, version: written.version }
  }

  #apply(effects: readonly SecretEffect[]): void {
    const { disk, announce, changed } = this.#options
    const names: string[] = []
    for (const effect of effects) {
      if (effect.kind === 'pull') void this.#pull(effect.from, effect.hash)
      else if (effect.kind === 'digest') announce(effect.digest)
      else if (effect.kind === 'save') disk?.save(effect.record)
      else if (effect.kind === 'erase') disk?.erase(effect.name)
      else names.push(effect.name)
    }
    if (names.length > 0) changed(names)
  }

  async #pull(from: MemberId, hash: string): Promise<void> {
    try {
      const body = await this.#options.pull(from, hash)
      if (!this.dispatch({ kind: 'pulled', from, hash, body })) this.dispatch({ kind: 'pullFailed', from, hash })
    } catch (error) {
      if (this.#running && this.#logLimit.take(from, performance.now()))
        this.#options.log.debug(
          { peer: from, err: reasonOf(error) },
          'a part of the secret state could not be pulled; trying again',
        )
      this.dispatch({ kind: 'pullFailed', from, hash })
    }
  }
}
