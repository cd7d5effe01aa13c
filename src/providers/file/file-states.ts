// The state of every services file: its last valid content, its problem, and whether it is stable. Pure: scans and parsed files
// go in. A file is used when two scans found it unchanged, because half of a file may be valid. The first scan is used at once,
// so that the start does not wait.

import type { ConfigError } from '../../config/model.ts'
import { reportFor } from '../../labels/shared/report.ts'
import type { ParsedFile } from '../../labels/traefik-v1/file.ts'
import type { Parsed } from './parse-file.ts'

/** One path as a scan found it. */
export interface ScannedPath {
  readonly path: string
  /** The path of the option that it was found by: itself, or its directory. */
  readonly from: string
  readonly kind: 'file' | 'directory' | 'problem'
  /** A signature; equal as long as the file is unchanged. */
  readonly state: string
  /** null: nothing is wrong with the path itself. */
  readonly problem: string | null
}

export interface Scan {
  readonly paths: readonly ScannedPath[]
  /** Paths of the option that could not be read: files missing below them may still exist. */
  readonly unreadable: ReadonlySet<string>
}

export interface FileProblem {
  readonly path: string
  readonly message: string
  /** True when earlier content stays in use, false when there is none; null: not applicable. */
  readonly stays: boolean | null
}

/** The provider's name, also in errors. */
export const NAME = 'file'

/** The problem with its consequence, on one line. */
export function formatProblem({ message, stays }: FileProblem): string {
  return stays === null
    ? message
    : `${message}; ${stays ? 'its last valid content stays in use' : 'only its content from before the start is served'}`
}

export function problemToError(trouble: FileProblem): ConfigError {
  const errors: ConfigError[] = []
  reportFor(NAME, trouble.path, errors).error('', '', formatProblem(trouble))
  return errors[0] as ConfigError
}

interface Entry {
  readonly path: string
  readonly from: string
  /** Signature of the last evaluated content; null: it is evaluated again. */
  evaluated: string | null
  /** Signature of the last scan when it differs from `evaluated`. */
  changedTo: string | null
  content: ParsedFile | null
  problem: string | null
  isDirectory: boolean
  /** Consecutive scans that found it changed. */
  unstableScans: number
}

const GONE = 'gone'
/** Consecutive scans that find a file changed before this is a problem. */
const MAX_UNSTABLE_SCANS = 30
/** Bound of the names remembered, where new files appear without end. */
const MAX_NAMES = 1_000

export class FileStates {
  private readonly order: ReadonlyMap<string, number>
  private readonly entries = new Map<string, Entry>()
  /** Files that had valid content while others have none yet, including removed ones. */
  private readonly withContent = new Set<string>()
  private first = true

  /** `paths` as in the option. Files are listed in this order, those of a directory by name. */
  constructor(paths: readonly string[]) {
    this.order = new Map(paths.map((path, index) => [path, index]))
  }

  /** Applies a scan. @returns the files to read and then pass to `parsed` or `failed` */
  apply({ paths, unreadable }: Scan): ScannedPath[] {
    const toRead: ScannedPath[] = []
    const seen = new Set<string>()
    for (const sight of paths) {
      seen.add(sight.path)
      const entry = this.entryOf(sight)
      if (!this.isDue(entry, sight.state)) continue
      if (sight.kind === 'file') {
        toRead.push(sight)
        continue
      }
      entry.problem = sight.problem
      entry.isDirectory = sight.kind === 'directory'
      if (entry.isDirectory) entry.content = null
      this.markEvaluated(entry, sight.state)
    }
    for (const entry of this.entries.values()) {
      if (seen.has(entry.path) || unreadable.has(entry.from)) continue
      if (this.isDue(entry, GONE)) this.entries.delete(entry.path)
    }
    return toRead
  }

  /** Takes the parsed content of a file that `apply` returned. */
  parsed({ path, state }: ScannedPath, result: Parsed): void {
    const entry = this.entries.get(path)
    if (entry === undefined) return
    entry.problem = result.ok ? null : result.message
    entry.isDirectory = false
    if (result.ok) {
      entry.content = { path, content: result.content }
      this.withContent.add(path)
    }
    this.markEvaluated(entry, state)
  }

  /** A file that `apply` returned could not be read (with the reason), or changes just now (null). The next scan tries again. */
  failed({ path }: ScannedPath, problem: string | null): void {
    const entry = this.entries.get(path)
    if (entry === undefined) return
    entry.evaluated = null
    if (problem === null) {
      entry.changedTo = null
      this.countUnstable(entry)
    } else entry.problem = problem
  }

  /** Ends a scan, after all files of it were read. */
  finishScan(): void {
    this.first = false
    if (this.allHaveContent() || this.withContent.size > MAX_NAMES)
      for (const path of this.withContent) if (!this.entries.has(path)) this.withContent.delete(path)
  }

  files(): ParsedFile[] {
    return this.sorted().flatMap(({ content }) => content ?? [])
  }

  problems(): FileProblem[] {
    const entries = this.sorted()
    return entries.flatMap(({ path, problem, isDirectory }) => {
      if (problem === null) return []
      const stays = entries.some(entry => entry.content !== null && (entry.path === path || entry.from === path))
      return [{ path, message: problem, stays: isDirectory ? null : stays }]
    })
  }

  /** Files whose content is known, also that they are gone; null: all, because every existing file had valid content. */
  knownPaths(): ReadonlySet<string> | null {
    return this.allHaveContent() ? null : this.withContent
  }

  private allHaveContent(): boolean {
    const entries = [...this.entries.values()]
    const directoryHasContent = (path: string) => entries.some(({ from, content }) => from === path && content !== null)
    return entries.every(({ path, content, isDirectory }) => isDirectory || content !== null || directoryHasContent(path))
  }

  paths(): ReadonlySet<string> {
    return new Set(this.entries.keys())
  }

  private entryOf({ path, from }: ScannedPath): Entry {
    const knownPaths = this.entries.get(path)
    if (knownPaths !== undefined) return knownPaths
    const entry: Entry = {
      path,
      from,
      evaluated: null,
      changedTo: null,
      content: null,
      problem: null,
      isDirectory: false,
      unstableScans: 0,
    }
    this.entries.set(path, entry)
    return entry
  }

  /** True when the content differs from the evaluated one and two scans found it unchanged. */
  private isDue(entry: Entry, state: string): boolean {
    const unstableScans = entry.unstableScans >= MAX_UNSTABLE_SCANS
    if (entry.evaluated === state && !unstableScans) {
      entry.changedTo = null
      entry.unstableScans = 0
      return false
    }
    const still = this.first || entry.changedTo === state
    entry.changedTo = state
    if (!still) this.countUnstable(entry)
    return still
  }

  /** A file that changes at every scan, or a disk that reports different facts each time, would otherwise never be reported. */
  private countUnstable(entry: Entry): void {
    entry.unstableScans++
    if (entry.unstableScans >= MAX_UNSTABLE_SCANS)
      entry.problem = `expected a file that does not change between two scans, found it changed in ${MAX_UNSTABLE_SCANS} consecutive scans`
  }

  /** What the first scan found is evaluated once more, because a file may have been half written. */
  private markEvaluated(entry: Entry, state: string): void {
    entry.evaluated = this.first ? null : state
    entry.unstableScans = 0
  }

  private sorted(): Entry[] {
    const rank = ({ from }: Entry): number => this.order.get(from) ?? 0
    return [...this.entries.values()].sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1))
  }
}
