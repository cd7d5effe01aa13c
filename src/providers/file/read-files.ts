// Looks at the named files and directories, and reads a file: the only part that touches the disk. What cannot be looked at or
// read is a value, never thrown. A signature tells whether a file is another one than before without reading it.

import { constants } from 'node:fs'
import { type FileHandle, open, opendir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { FileStates, Scan, ScannedPath } from './file-states.ts'
import { formOf, MAX_BYTES } from './parse-file.ts'
import { parseInThread } from './parse-in-thread.ts'

const MAX_FILES = 100
/** Names in a directory that are looked at. */
const MAX_ENTRIES = 10_000

type Reading =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** It may be readable later, with the same signature. */
  | { readonly kind: 'unreadable'; readonly message: string }
  /** Somebody writes to it, or has replaced it since it was looked at. */
  | { readonly kind: 'moving' }

interface Facts {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}

/** A file's change time is in it too: a copy that keeps the time of its original would look unchanged without. */
function signatureOf({ dev, ino, size, mtimeNs, ctimeNs }: Facts): string {
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
}

/**
 * Everything named as it is now. Files named themselves come before those of directories when there are too many, and `known`
 * ones before others.
 */
async function survey(paths: readonly string[], known: ReadonlySet<string>): Promise<Scan> {
  const sights: ScannedPath[] = []
  const unsure = new Set<string>()
  const places = new Set(paths.map(path => resolve(path)))
  const directories: string[] = []
  for (const path of paths) {
    const sight = await look(path, path)
    if (sight.kind === 'directory') directories.push(path)
    else sights.push(sight)
    if (sight.kind === 'problem') unsure.add(path)
  }
  let room = Math.max(0, MAX_FILES - sights.length)
  for (const path of directories) {
    const listed = await list(path)
    if (typeof listed === 'string') {
      unsure.add(path)
      sights.push({ path, from: path, kind: 'problem', state: `!${listed}`, problem: listed })
      continue
    }
    const files = listed.map(name => join(path, name)).filter(file => !places.has(resolve(file)))
    const chosen = [...files.filter(file => known.has(file)), ...files.filter(file => !known.has(file))].slice(0, room)
    const left = files.length - chosen.length
    const problem = left === 0 ? null : `expected at most ${MAX_FILES} files in all; left out: ${left}`
    sights.push({ path, from: path, kind: 'directory', state: `directory:${left}`, problem })
    room -= chosen.length
    for (const file of chosen) {
      places.add(resolve(file))
      const sight = await look(file, path)
      if (sight.kind !== 'directory') sights.push(sight)
    }
  }
  return { sights, unsure }
}

async function look(path: string, from: string): Promise<ScannedPath> {
  const wrong = (problem: string): ScannedPath => ({ path, from, kind: 'problem', state: `!${problem}`, problem })
  try {
    const facts = await stat(path, { bigint: true })
    if (facts.isDirectory()) return { path, from, kind: 'directory', state: '', problem: null }
    if (!facts.isFile()) return wrong('expected a regular file')
    if (formOf(path) === null) return wrong('expected a file named .toml, .yml, .yaml or .json')
    const state = signatureOf(facts)
    // Not even its first bytes are read.
    if (facts.size > MAX_BYTES)
      return { ...wrong(`expected at most ${MAX_BYTES} bytes, found ${facts.size}`), state: `!size ${state}` }
    return { path, from, kind: 'file', state, problem: null }
  } catch (error) {
    return wrong(`expected a file that can be read: ${whyNot(error)}`)
  }
}

/** Names of files in a directory by their ending, sorted, without hidden ones; or what is wrong. */
async function list(path: string): Promise<string[] | string> {
  const names: string[] = []
  let entries = 0
  try {
    for await (const { name } of await opendir(path)) {
      if (++entries > MAX_ENTRIES) return `expected a directory of at most ${MAX_ENTRIES} entries`
      if (!name.startsWith('.') && formOf(name) !== null) names.push(name)
    }
  } catch (error) {
    return `expected a directory that can be read: ${whyNot(error)}`
  }
  return names.sort()
}

/** One look at everything named, and at what of it is to be read; nothing is written into the book once `isOver`. */
export async function scanFiles(book: FileStates, paths: readonly string[], isOver: () => boolean = () => false): Promise<void> {
  const found = await survey(paths, book.paths())
  if (isOver()) return
  for (const sight of book.look(found)) {
    const reading = await readSeen(sight)
    if (isOver()) return
    if (reading.kind === 'bytes') {
      const parsed = await parseInThread(sight.path, reading.bytes, isOver)
      if (isOver()) return
      book.read(sight, parsed)
    } else book.failed(sight, reading.kind === 'moving' ? null : reading.message)
  }
  book.looked()
}

/** Reads a file whole if it still is the one that was looked at. */
async function readSeen({ path, state }: ScannedPath): Promise<Reading> {
  let handle: FileHandle
  try {
    // A pipe put in its place must not hold this up.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'moving' }
    return { kind: 'unreadable', message: `expected a file that can be read: ${whyNot(error)}` }
  }
  try {
    const before = await handle.stat({ bigint: true })
    if (signatureOf(before) !== state) return { kind: 'moving' }
    const bytes = await readWhole(handle, Number(before.size))
    const after = await handle.stat({ bigint: true })
    return bytes === null || signatureOf(after) !== state ? { kind: 'moving' } : { kind: 'bytes', bytes }
  } catch (error) {
    return { kind: 'unreadable', message: `expected a file that can be read: ${whyNot(error)}` }
  } finally {
    await handle.close().catch(() => undefined)
  }
}

/** So many bytes from the beginning; null when there are fewer. */
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

function whyNot(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'there is none'
  if (code === 'EACCES') return 'it may not be read'
  if (code === 'ELOOP') return 'its links lead in a circle'
  return code === undefined ? message : `${code}`
}
