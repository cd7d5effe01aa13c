// Learned sessions between data workers and the store: what one worker learns, all others (here and on other replicas) get.

import type { Change } from '../../cluster/store/model.ts'
import type { Snapshot } from '../config/model.ts'
import type { SharedFromWorker, ToWorker } from '../workers/messages.ts'
import type { SharingHost, SharingPart } from './part.ts'

export class SessionSharing implements SharingPart {
  private readonly host: SharingHost

  constructor(host: SharingHost) {
    this.host = host
  }

  tables(_snapshot: Snapshot): Iterable<readonly [table: string, cap: number]> {
    return []
  }

  apply(_snapshot: Snapshot): void {}
  fromWorker(_index: number, _message: SharedFromWorker): void {}
  changed(_changes: readonly Change[]): void {}
  seed(_post: (message: ToWorker) => void): void {}
  members(): void {}
  stop(): void {}

  /** Sessions by service. */
  counts(): Readonly<Record<string, number>> {
    return {}
  }
}
