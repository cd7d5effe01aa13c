// Circuit breakers of the whole cluster: counts of all members, one state, one prober.

import type { Change } from '../../cluster/store/model.ts'
import type { BreakerReport } from '../api/admin-source.ts'
import type { Snapshot } from '../config/model.ts'
import type { SharedFromWorker, ToWorker } from '../workers/messages.ts'
import type { SharingHost, SharingPart } from './part.ts'

export class BreakerSharing implements SharingPart {
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

  reports(): readonly BreakerReport[] {
    return []
  }
}
