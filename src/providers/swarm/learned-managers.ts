// The managers learned from the swarm, stored in `managers.json` of the data directory, so that a replica finds a manager when
// all its seeds are gone. The file is validated when read. A missing, corrupt or unwritable file is logged and never fatal.

import { join } from 'node:path'
import { z } from 'zod'
import { readRegularFile } from '../../util/read-regular-file.ts'
import { replaceFile } from '../../util/replace-file.ts'
import { parseEndpoint } from '../docker-api/endpoint.ts'

export interface LearnedManager {
  /** As users write it: `tcp://10.0.0.1:2376`. */
  readonly endpoint: string
  readonly nodeId: string
  readonly hostname: string
}

export interface LearnedStore {
  load(): Promise<readonly LearnedManager[]>
  save(managers: readonly LearnedManager[]): Promise<void>
}

const fileSchema = z.object({
  version: z.literal(1),
  managers: z
    .array(z.object({ endpoint: z.string().max(512), nodeId: z.string().min(1).max(128), hostname: z.string().max(4096) }))
    .max(1000),
})

const MAX_BYTES = 1024 * 1024

type Warn = (fields: object, message: string) => void

/** `dataDir` null: nothing is stored. */
export function createLearnedStore(dataDir: string | null, warn: Warn): LearnedStore {
  const path = dataDir === null ? null : join(dataDir, 'managers.json')
  let failing = false
  let queue: Promise<void> = Promise.resolve()
  return {
    async load() {
      if (path === null) return []
      let text: string | null
      try {
        text = readRegularFile(path, MAX_BYTES)
      } catch (error) {
        warn(
          { path, reason: error instanceof Error ? error.message : String(error) },
          'cannot read the stored list of managers, starting without it',
        )
        return []
      }
      if (text === null) return []
      const managers = parseLearned(text)
      if (managers === null) warn({ path }, 'the stored list of managers is corrupt, ignoring it')
      return managers ?? []
    },
    save(managers) {
      if (path === null) return Promise.resolve()
      const text = `${JSON.stringify({ version: 1, managers }, null, 2)}\n`
      queue = queue.then(async () => {
        try {
          await replaceFile(path, text)
          failing = false
        } catch (error) {
          const reason = error instanceof Error ? error.message : String(error)
          if (!failing) warn({ path, reason }, 'cannot store the list of managers (--data-dir)')
          failing = true
        }
      })
      return queue
    },
  }
}

/** Parses the file; null when it is malformed. */
export function parseLearned(text: string): readonly LearnedManager[] | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  const parsed = fileSchema.safeParse(value)
  if (!parsed.success) return null
  return parsed.data.managers.every(({ endpoint }) => parseEndpoint(endpoint).ok) ? parsed.data.managers : null
}
