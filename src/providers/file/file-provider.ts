// The file provider: services described in files, beside the Swarm provider or instead of it. It checks the files every second,
// keeps the last valid content of a file that becomes unreadable or wrong, and logs that once. In a cluster every replica reads
// its own files, and the leader's content is used by all.

import type { Logger } from 'pino'
import type { DynamicConfig } from '../../config/model.ts'
import { type ParsedFile, readTraefikV1Files, sourceOf } from '../../labels/traefik-v1/file.ts'
import type { ClusterPart, Provider, ProviderMode, ProviderType } from '../shared/provider.ts'
import { type FileProblem, FileStates, formatProblem, NAME, problemToError } from './file-states.ts'
import { scanFiles } from './read-files.ts'

export interface FileProviderOptions {
  /** Files and directories; the services of all files are served together. */
  readonly paths: readonly string[]
  /** Interval between two scans, ms. */
  readonly pollMs?: number
}

const POLL_MS = 1000
/** Longest wait for a running scan at the end, ms: a disk may not answer. */
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

/** `readFiles` turns the content of the files into a configuration. */
export function createFileProvider(
  options: FileProviderOptions,
  log: Logger,
  readFiles: (files: readonly ParsedFile[]) => DynamicConfig,
): Provider & { readonly cluster: ClusterPart } {
  const { paths, pollMs = POLL_MS } = options
  const states = new FileStates(paths)
  let emit: ((config: DynamicConfig) => void) | null = null
  let mode: ProviderMode = 'read'
  let timer: NodeJS.Timeout | undefined
  let scanning: Promise<void> = Promise.resolve()
  let stopped = false
  let lastRead: { readonly files: readonly ParsedFile[]; readonly config: DynamicConfig } | null = null
  /** The content of the files and their problems; null before the first scan. */
  let config: DynamicConfig | null = null
  /** `config` as JSON. */
  let text = ''
  let emitted: string | null = null
  let logged = new Map<string, string>()
  let lastGoodAt: number | null = null
  let defect: string | null = null

  async function scan(): Promise<void> {
    await scanFiles(states, paths, () => stopped)
    if (stopped) return
    const problems = states.problems()
    if (problems.length === 0) lastGoodAt = performance.now()
    logChanges(problems)
    rebuild(problems)
    publish()
  }

  /** Logs each problem once, and its end. In mode `read` the problems are errors of the configuration and are logged with it. */
  function logChanges(problems: readonly FileProblem[]): void {
    const now = new Map(problems.map(problem => [problem.path, formatProblem(problem)]))
    for (const [path, message] of now) {
      if (mode === 'listen' && logged.get(path) !== message)
        log.warn({ provider: NAME, path }, `services file ${path} of this replica: ${message}`)
    }
    const known = states.paths()
    for (const path of logged.keys()) {
      if (!now.has(path) && known.has(path)) log.info({ provider: NAME, path }, `services file ${path} is readable again`)
    }
    logged = now
  }

  function rebuild(problems: readonly FileProblem[]): void {
    const current = states.files()
    try {
      if (lastRead === null || !sameFiles(lastRead.files, current)) lastRead = { files: current, config: readFiles(current) }
      defect = null
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (defect === null)
        log.error({ err: error }, 'a defect in Skein: the services files could not be read, keeping the configuration')
      defect = `the files could not be read: ${reason}`
      return
    }
    const errors = [...problems.map(problemToError), ...lastRead.config.errors]
    const known = states.knownPaths()
    // Files without a content yet: the replicated configuration may have their earlier content (control/snapshot-builder.ts).
    config = { ...lastRead.config, errors, ...(known === null ? {} : { readSources: [...known].map(sourceOf) }) }
    text = JSON.stringify(config)
  }

  function publish(): void {
    if (emit === null || mode !== 'read' || config === null || text === emitted) return
    emitted = text
    try {
      emit(config)
    } catch (error) {
      defect = `the configuration could not be applied: ${error instanceof Error ? error.message : String(error)}`
      log.error({ err: error }, 'a defect in Skein: the configuration could not be applied, keeping the previous one')
    }
  }

  function schedule(): void {
    scanning = scan()
      .catch((error: unknown) => {
        log.error({ err: error }, 'a defect in Skein: the services files could not be scanned, trying again')
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
      await Promise.race([scanning, new Promise<void>(done => (giveUp = setTimeout(done, STOP_WITHIN_MS)))])
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
      const problems = new Map(states.problems().map(problem => [problem.path, formatProblem(problem)]))
      const [first] = problems
      return {
        provider: NAME,
        synced: config !== null,
        lastSuccessMs: lastGoodAt === null ? null : Math.round(performance.now() - lastGoodAt),
        lastError: defect ?? (first === undefined ? null : `${first[0]}: ${first[1]}`),
        sources: [...new Set([...states.paths(), ...problems.keys()])].map(path => {
          const problem = problems.get(path)
          return { source: path, state: problem === undefined ? 'healthy' : 'down', lastError: problem ?? null }
        }),
      }
    },
  }
}

function sameFiles(a: readonly ParsedFile[], b: readonly ParsedFile[]): boolean {
  return a.length === b.length && a.every((file, index) => file === b[index])
}
