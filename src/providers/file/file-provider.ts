// The file provider: services described in files, beside the Swarm or instead of it. It looks at the files every second, keeps
// what a file last said when it becomes unreadable or wrong, and says so once. In a cluster every replica looks at its own, and
// the leader's count for all.

import type { Logger } from 'pino'
import type { DynamicConfig } from '../../config/model.ts'
import { type ParsedFile, readTraefikV1Files, sourceOf } from '../../labels/traefik-v1/file.ts'
import type { ClusterPart, Provider, ProviderMode, ProviderType } from '../shared/provider.ts'
import { type FileProblem, FileStates, formatProblem, NAME, problemToError } from './file-states.ts'
import { scanFiles } from './read-files.ts'

export interface FileProviderOptions {
  /** Files and directories; each file's services are served together with the others'. */
  readonly paths: readonly string[]
  /** Between two looks. */
  readonly pollMs?: number
}

const POLL_MS = 1000
/** A disk that does not answer holds up the end of this process no longer. */
const STOP_WITHIN_MS = 1000

export const file: ProviderType = {
  name: NAME,
  create({ options, log, cluster }) {
    if (options.files.length === 0) return null
    return createFileProvider({ paths: options.files }, log, files => {
      const config = readTraefikV1Files(files)
      cluster?.localConfig(NAME, config)
      return config
    })
  },
}

/** `discover` turns what the files hold into routers, services and middlewares. */
export function createFileProvider(
  options: FileProviderOptions,
  log: Logger,
  discover: (files: readonly ParsedFile[]) => DynamicConfig,
): Provider & { readonly cluster: ClusterPart } {
  const { paths, pollMs = POLL_MS } = options
  const book = new FileStates(paths)
  let emit: ((config: DynamicConfig) => void) | null = null
  let mode: ProviderMode = 'read'
  let timer: NodeJS.Timeout | undefined
  let looking: Promise<void> = Promise.resolve()
  let stopped = false
  let read: { readonly from: readonly ParsedFile[]; readonly says: DynamicConfig } | null = null
  /** What the files say and what is wrong with them, once all have been looked at. */
  let config: DynamicConfig | null = null
  /** The same as text; what was emitted last. */
  let text = ''
  let emitted: string | null = null
  let told = new Map<string, string>()
  let wellAt: number | null = null
  let defect: string | null = null

  async function look(): Promise<void> {
    await scanFiles(book, paths, () => stopped)
    if (stopped) return
    const troubles = book.troubles()
    if (troubles.length === 0) wellAt = performance.now()
    tell(troubles)
    compose(troubles)
    publish()
  }

  /** Each trouble once, and its end once. Of who reads, the configuration's errors tell the troubles, which are logged too. */
  function tell(troubles: readonly FileProblem[]): void {
    const now = new Map(troubles.map(trouble => [trouble.path, formatProblem(trouble)]))
    for (const [path, message] of now) {
      if (mode === 'listen' && told.get(path) !== message)
        log.warn({ provider: NAME, path }, `services file ${path} of this replica: ${message}`)
    }
    const known = book.paths()
    for (const path of told.keys()) {
      if (!now.has(path) && known.has(path)) log.info({ provider: NAME, path }, `services file ${path} is well again`)
    }
    told = now
  }

  function compose(troubles: readonly FileProblem[]): void {
    const current = book.files()
    try {
      if (read === null || !sameFiles(read.from, current)) read = { from: current, says: discover(current) }
      defect = null
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (defect === null)
        log.error({ err: error }, 'a defect in Skein: the services files could not be read; the configuration stays as it was')
      defect = `the files could not be read: ${reason}`
      return
    }
    const errors = [...troubles.map(problemToError), ...read.says.errors]
    const known = book.known()
    // Of what has said nothing yet, others may know what it said before (snapshots.ts).
    config = { ...read.says, errors, ...(known === null ? {} : { readSources: [...known].map(sourceOf) }) }
    text = JSON.stringify(config)
  }

  function publish(): void {
    if (emit === null || mode !== 'read' || config === null || text === emitted) return
    emitted = text
    try {
      emit(config)
    } catch (error) {
      defect = `the configuration could not be applied: ${error instanceof Error ? error.message : String(error)}`
      log.error({ err: error }, 'a defect in Skein: the configuration could not be applied; the one before goes on')
    }
  }

  function schedule(): void {
    looking = look()
      .catch((error: unknown) => {
        log.error({ err: error }, 'a defect in Skein: the services files could not be looked at; it is tried again')
      })
      .then(() => {
        if (!stopped) timer = setTimeout(schedule, pollMs)
      })
  }

  return {
    name: NAME,
    start(onConfig) {
      emit = onConfig
      schedule()
    },
    async stop() {
      stopped = true
      emit = null
      clearTimeout(timer)
      let giveUp: NodeJS.Timeout | undefined
      await Promise.race([looking, new Promise<void>(done => (giveUp = setTimeout(done, STOP_WITHIN_MS)))])
      clearTimeout(giveUp)
    },
    cluster: {
      setMode(next) {
        mode = next
        // Another replica may have led since and published something else: emit again even when nothing has changed here.
        emitted = null
        publish()
      },
    },
    status() {
      const troubles = new Map(book.troubles().map(trouble => [trouble.path, formatProblem(trouble)]))
      const [first] = troubles
      return {
        provider: NAME,
        synced: config !== null,
        lastSuccessMs: wellAt === null ? null : Math.round(performance.now() - wellAt),
        lastError: defect ?? (first === undefined ? null : `${first[0]}: ${first[1]}`),
        sources: [...new Set([...book.paths(), ...troubles.keys()])].map(path => {
          const problem = troubles.get(path)
          return { source: path, state: problem === undefined ? 'healthy' : 'down', lastError: problem ?? null }
        }),
      }
    },
  }
}

function sameFiles(a: readonly ParsedFile[], b: readonly ParsedFile[]): boolean {
  return a.length === b.length && a.every((file, index) => file === b[index])
}
