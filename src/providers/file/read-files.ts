// Scans the configured files and directories and reads files; the only part that accesses the disk. A path that cannot be read
// gives a value, never an exception. A signature shows without reading whether a file has changed.

import { constants } from 'node:fs'
import { type FileHandle, open, opendir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { FileStates, Scan, ScannedPath } from './file-states.ts'
import { formatOf, MAX_BYTES } from './parse-file.ts'
import { parseInThread } from './parse-in-thread.ts'

const MAX_FILES = 100
/** Largest directory that is listed, entries. */
const MAX_ENTRIES = 10_000

type Reading =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** It may become readable with the same signature. */
  | { readonly kind: 'unreadable'; readonly message: string }
  /** It is being written, or was replaced since the scan. */
  | { readonly kind: 'changing' }

interface Facts {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}

/** Includes the change time, because a copy may keep the modification time of its original. */
function signatureOf({ dev, ino, size, mtimeNs, ctimeNs }: Facts): string {
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
}

/**
 * Scans all paths. When there are too many files, files named in the option precede those of directories, and `known` ones
 * precede others.
 */
async function scanPaths(paths: readonly string[], known: ReadonlySet<string>): Promise<Scan> {
  const found: ScannedPath[] = []
  const unreadable = new Set<string>()
  const places = new Set(paths.map(path => resolve(path)))
  const directories: string[] = []
  for (const path of paths) {
    const scanned = await scanPath(path, path)
    if (scanned.kind === 'directory') directories.push(path)
    else found.push(scanned)
    if (scanned.kind === 'problem') unreadable.add(path)
  }
  let capacity = Math.max(0, MAX_FILES - found.length)
  for (const path of directories) {
    const listed = await list(path)
    if (typeof listed === 'string') {
      unreadable.add(path)
      found.push({ path, from: path, kind: 'problem', state: `!${listed}`, problem: listed })
      continue
    }
    const files = listed.map(name => join(path, name)).filter(file => !places.has(resolve(file)))
    const chosen = [...files.filter(file => known.has(file)), ...files.filter(file => !known.has(file))].slice(0, capacity)
    const left = files.length - chosen.length
    const problem = left === 0 ? null : `expected at most ${MAX_FILES} files in all; left out: ${left}`
    found.push({ path, from: path, kind: 'directory', state: `directory:${left}`, problem })
    capacity -= chosen.length
    for (const file of chosen) {
      places.add(resolve(file))
      const scanned = await scanPath(file, path)
      if (scanned.kind !== 'directory') found.push(scanned)
    }
  }
  return { paths: found, unreadable }
}

async function scanPath(path: string, from: string): Promise<ScannedPath> {
  const wrong = (problem: string): ScannedPath => ({ path, from, kind: 'problem', state: `!${problem}`, problem })
  try {
    const facts = await stat(path, { bigint: true })
    if (facts.isDirectory()) return { path, from, kind: 'directory', state: '', problem: null }
    if (!facts.isFile()) return wrong('expected a regular file')
    if (formatOf(path) === null) return wrong('expected a file named .toml, .yml, .yaml or .json')
    const state = signatureOf(facts)
    // Too large: nothing of it is read.
    if (facts.size > MAX_BYTES)
      return { ...wrong(`expected at most ${MAX_BYTES} bytes, found ${facts.size}`), state: `!size ${state}` }
    return { path, from, kind: 'file', state, problem: null }
  } catch (error) {
    return wrong(`expected a file that can be read: ${reasonOf(error)}`)
  }
}

/** Names of services files in a directory by extension, sorted, without hidden ones; or the problem. */
async function list(path: string): Promise<string[] | string> {
  const names: string[] = []
  let entries = 0
  try {
    for await (const { name } of await opendir(path)) {
      if (++entries > MAX_ENTRIES) return `expected a directory of at most ${MAX_ENTRIES} entries`
      if (!name.startsWith('.') && formatOf(name) !== null) names.push(name)
    }
  } catch (error) {
    return `expected a directory that can be read: ${reasonOf(error)}`
  }
  return names.sort()
}

/** Scans all paths and reads the files that have changed. Nothing is recorded once `isOver` returns true. */
export async function scanFiles(
  states: FileStates,
  paths: readonly string[],
  isOver: () => boolean = () => false,
): Promise<void> {
  const found = await scanPaths(paths, states.paths())
  if (isOver()) return
  for (const scanned of states.apply(found)) {
    const reading = await readScanned(scanned)
    if (isOver()) return
    if (reading.kind === 'bytes') {
      const parsed = await parseInThread(scanned.path, reading.bytes, isOver)
      if (isOver()) return
      states.parsed(scanned, parsed)
    } else states.failed(scanned, reading.kind === 'changing' ? null : reading.message)
  }
  states.finishScan()
}

/** Reads a file as a whole if it is still the one that was scanned. */
async function readScanned({ path, state }: ScannedPath): Promise<Reading> {
  let handle: FileHandle
  try {
    // O_NONBLOCK: a pipe in its place must not block the open.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'changing' }
    return { kind: 'unreadable', message: `expected a file that can be read: ${reasonOf(error)}` }
  }
  try {
    const before = await handle.stat({ bigint: true })
    if (signatureOf(before) !== state) return { kind: 'changing' }
    const bytes = await readWhole(handle, Number(before.size))
    const after = await handle.stat({ bigint: true })
    return bytes === null || signatureOf(after) !== state ? { kind: 'changing' } : { kind: 'bytes', bytes }
  } catch (error) {
    return { kind: 'unreadable', message: `expected a file that can be read: ${reasonOf(error)}` }
  } finally {
    await handle.close().catch(() => undefined)
  }
}

/** Reads this many bytes from the start; null when there are fewer. */
async function readWhole(handle: FileHandle, size: number): Promise<Uint8Array | null> {
  const bytes = new Uint8Array(size)
  let length = 0
  while (length < size) {
    const { bytesRead } = await handle.read(bytes, length, size - length, length)
    if (bytesRead === 0) return null
    length += bytesRead
  }
  return bytes
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'there is none'
  if (code === 'EACCES') return 'it may not be read'
  if (code === 'ELOOP') return 'its links lead in a circle'
  return code === undefined ? message : `${code}`
}
