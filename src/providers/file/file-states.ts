// What is known of every file: what it last said, what is wrong with it, and whether it has stood still. Pure: looks and readings
// go in. A file is believed once two looks found it the same, for half of a file may be a valid one; the very first look counts
// at once, so that a start waits for nothing.

import type { ConfigError } from '../../config/model.ts'
import { reportFor } from '../../labels/shared/report.ts'
import type { ParsedFile } from '../../labels/traefik-v1/file.ts'
import type { Parsed } from './parse-file.ts'

/** One path as a look found it. */
export interface ScannedPath {
  readonly path: string
  /** The named path that it was found by: itself, or its directory. */
  readonly from: string
  readonly kind: 'file' | 'directory' | 'problem'
  /** Equal as long as nothing has changed. */
  readonly state: string
  /** What is wrong with it, whatever it holds. */
  readonly problem: string | null
}

export interface Scan {
  readonly sights: readonly ScannedPath[]
  /** Named paths that could not be looked into: nothing follows from what was not found there. */
  readonly unsure: ReadonlySet<string>
}

export interface FileProblem {
  readonly path: string
  readonly message: string
  /** Whether it has said something before, and that goes on; null: that is not the question. */
  readonly stays: boolean | null
}

/** The provider's name, in errors too. */
export const NAME = 'file'

/** A trouble in a line for people. */
export function formatProblem({ message, stays }: FileProblem): string {
  return stays === null
    ? message
    : `${message}; ${stays ? 'what it last said stays' : 'nothing of it is served but what was before'}`
}

export function problemToError(trouble: FileProblem): ConfigError {
  const errors: ConfigError[] = []
  reportFor(NAME, trouble.path, errors).error('', '', formatProblem(trouble))
  return errors[0] as ConfigError
}

interface Entry {
  readonly path: string
  readonly from: string
  /** The state on which it was judged last; null: it is looked at again. */
  settled: string | null
  /** The state at the last look, where that is another one. */
  pending: string | null
  content: ParsedFile | null
  problem: string | null
  isDirectory: boolean
  /** Looks in a row that found it changed, or changing. */
  restless: number
}

const GONE = 'gone'
/** So many looks may find a file changed before that is told. */
const MAX_RESTLESS = 30
/** Names of files that are remembered, where new ones come and go without end. */
const MAX_SPOKEN = 1_000

export class FileStates {
  private readonly order: ReadonlyMap<string, number>
  private readonly entries = new Map<string, Entry>()
  /** Files that have said something, for as long as others that are there have not: also those that are gone meanwhile. */
  private readonly spoken = new Set<string>()
  private first = true

  /** `paths` as they were named; files are told in this order, those of a directory by name. */
  constructor(paths: readonly string[]) {
    this.order = new Map(paths.map((path, index) => [path, index]))
  }

  /** Takes a look's findings. @returns the files that are to be read now and then handed to `read` or `failed` */
  look({ sights, unsure }: Scan): ScannedPath[] {
    const due: ScannedPath[] = []
    const seen = new Set<string>()
    for (const sight of sights) {
      seen.add(sight.path)
      const entry = this.entryOf(sight)
      if (!this.isDue(entry, sight.state)) continue
      if (sight.kind === 'file') {
        due.push(sight)
        continue
      }
      entry.problem = sight.problem
      entry.isDirectory = sight.kind === 'directory'
      if (entry.isDirectory) entry.content = null
      this.settle(entry, sight.state)
    }
    for (const entry of this.entries.values()) {
      if (seen.has(entry.path) || unsure.has(entry.from)) continue
      if (this.isDue(entry, GONE)) this.entries.delete(entry.path)
    }
    return due
  }

  /** A file that was due has been read, and is what the look found. */
  read({ path, state }: ScannedPath, parsed: Parsed): void {
    const entry = this.entries.get(path)
    if (entry === undefined) return
    entry.problem = parsed.ok ? null : parsed.message
    entry.isDirectory = false
    if (parsed.ok) {
      entry.content = { path, content: parsed.content }
      this.spoken.add(path)
    }
    this.settle(entry, state)
  }

  /** A file that was due could not be read (with the reason), or changes just now (null): the next look tries again. */
  failed({ path }: ScannedPath, problem: string | null): void {
    const entry = this.entries.get(path)
    if (entry === undefined) return
    entry.settled = null
    if (problem === null) {
      entry.pending = null
      this.disturb(entry)
    } else entry.problem = problem
  }

  /** The first look is over, with all that was due. */
  looked(): void {
    this.first = false
    if (this.isWhole() || this.spoken.size > MAX_SPOKEN)
      for (const path of this.spoken) if (!this.entries.has(path)) this.spoken.delete(path)
  }

  files(): ParsedFile[] {
    return this.sorted().flatMap(({ content }) => content ?? [])
  }

  troubles(): FileProblem[] {
    const entries = this.sorted()
    return entries.flatMap(({ path, problem, isDirectory }) => {
      if (problem === null) return []
      const stays = entries.some(entry => entry.content !== null && (entry.path === path || entry.from === path))
      return [{ path, message: problem, stays: isDirectory ? null : stays }]
    })
  }

  /** Files whose services are known, also that there are none any more; null: all, for everything that is there has spoken. */
  known(): ReadonlySet<string> | null {
    return this.isWhole() ? null : this.spoken
  }

  private isWhole(): boolean {
    const entries = [...this.entries.values()]
    const hasSpoken = (path: string) => entries.some(({ from, content }) => from === path && content !== null)
    return entries.every(({ path, content, isDirectory }) => isDirectory || content !== null || hasSpoken(path))
  }

  paths(): ReadonlySet<string> {
    return new Set(this.entries.keys())
  }

  private entryOf({ path, from }: ScannedPath): Entry {
    const known = this.entries.get(path)
    if (known !== undefined) return known
    const entry: Entry = {
      path,
      from,
      settled: null,
      pending: null,
      content: null,
      problem: null,
      isDirectory: false,
      restless: 0,
    }
    this.entries.set(path, entry)
    return entry
  }

  /** It is not as it was judged last, and has been so for two looks. */
  private isDue(entry: Entry, state: string): boolean {
    const restless = entry.restless >= MAX_RESTLESS
    if (entry.settled === state && !restless) {
      entry.pending = null
      entry.restless = 0
      return false
    }
    const still = this.first || entry.pending === state
    entry.pending = state
    if (!still) this.disturb(entry)
    return still
  }

  /** What is written to all the time, or lies on a disk that tells other facts of it each time, would go unseen for ever. */
  private disturb(entry: Entry): void {
    entry.restless++
    if (entry.restless >= MAX_RESTLESS)
      entry.problem = `expected a file that stands still from one look to the next, found it changed at ${MAX_RESTLESS} in a row`
  }

  /** What the first look found is judged once more: it may have been in the middle of being written. */
  private settle(entry: Entry, state: string): void {
    entry.settled = this.first ? null : state
    entry.restless = 0
  }

  private sorted(): Entry[] {
    const rank = ({ from }: Entry): number => this.order.get(from) ?? 0
    return [...this.entries.values()].sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1))
  }
}
