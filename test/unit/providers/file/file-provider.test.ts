// The file provider on real files: what it emits as they are written, replaced, broken, fixed and removed.

import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { DynamicConfig } from '../../../../src/config/model.ts'
import type { ParsedFile } from '../../../../src/labels/traefik-v1/file.ts'
import { createFileProvider } from '../../../../src/providers/file/file-provider.ts'
import type { Provider } from '../../../../src/providers/shared/provider.ts'
import { until } from '../../../until.ts'

const POLL_MS = 20
const root = mkdtempSync(join(tmpdir(), 'skein-files-'))
let count = 0
const running = new Set<Provider>()

interface Line {
  readonly level: number
  readonly msg: string
}

interface Watched {
  readonly provider: ReturnType<typeof createFileProvider>
  readonly emitted: DynamicConfig[]
  /** Names in each read content, emitted or not. */
  readonly found: string[][]
  readonly lines: Line[]
  /** The names in the last emission, in order. */
  said(): string[]
  until(what: string, condition: () => boolean): Promise<void>
  /** Waits for this many scans and some more. */
  looks(count: number): Promise<void>
}

/** A fake reader: one middleware for each `name:` of a file. */
function discover(files: readonly ParsedFile[], found: string[][]): DynamicConfig {
  const names = files.map(({ content }) => (content as { name: string }).name)
  found.push(names)
  if (names.includes('defect')) throw new Error('not to be read')
  const middlewares = Object.fromEntries(names.map(name => [name, { kind: 'addPrefix', prefix: '/a' }] as const))
  return { routers: {}, services: {}, middlewares, errors: [] }
}

function watch(paths: readonly string[], { start = true, pollMs = POLL_MS } = {}): Watched {
  const found: string[][] = []
  const emitted: DynamicConfig[] = []
  const lines: Line[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line) as Line) })
  const provider = createFileProvider({ paths, pollMs }, log, files => discover(files, found))
  running.add(provider)
  if (start) provider.start(config => void emitted.push(config))
  const said = (): string[] => Object.keys(emitted.at(-1)?.middlewares ?? {})
  return {
    provider,
    emitted,
    found,
    lines,
    said,
    until: async (what, condition) =>
      void (await until(what, condition, 10_000, { everyMs: 5, detail: () => ({ middlewares: said(), lines }) })),
    looks: async n => void (await sleep((n + 3) * POLL_MS)),
  }
}

function directory(): string {
  const path = join(root, String(count++))
  mkdirSync(path)
  return path
}

function file(text: string, name = 'services.yml'): string {
  const path = join(directory(), name)
  writeFileSync(path, text)
  return path
}

test.after.each(async () => {
  await Promise.all([...running].map(provider => provider.stop()))
  running.clear()
})
test.after(() => rmSync(root, { recursive: true, force: true }))

test('the content is emitted at once, then only changes', async () => {
  const toml = file('name = "two"\n', 'b.toml')
  const { provider, emitted, said, until, looks, lines } = watch([file('name: one\n'), toml, file('{"name":"three"}', 'c.json')])
  assert.not.ok(provider.status().synced)
  await until('the first', () => emitted.length === 1)
  assert.equal(said(), ['one', 'two', 'three'])
  assert.ok(provider.status().synced)
  await looks(4)
  utimesSync(toml, new Date(), new Date())
  appendFileSync(toml, '# a comment\n')
  await looks(4)
  assert.is(emitted.length, 1, 'nothing has changed')
  appendFileSync(toml, 'more = 1\n')
  writeFileSync(toml, 'name = "deux"\n')
  await until('the change', () => said()[1] === 'deux')
  assert.is(emitted.length, 2)
  assert.equal(lines, [])
  const { lastError, sources = [], lastSuccessMs } = provider.status()
  assert.is(lastError, null)
  assert.equal(
    sources.map(({ state }) => state),
    ['healthy', 'healthy', 'healthy'],
  )
  assert.ok(lastSuccessMs !== null && lastSuccessMs < 5_000)
  assert.is(provider.cluster.shared, undefined, 'replicates no facts')
})

test('a file replaced by rename is detected, also with the same size and times', async () => {
  const path = file('name: one\n')
  const times = new Date(1_000_000)
  utimesSync(path, times, times)
  const { said, until, looks } = watch([path])
  await until('the first', () => said()[0] === 'one')
  await looks(3)
  writeFileSync(`${path}.new`, 'name: two\n')
  utimesSync(`${path}.new`, times, times)
  renameSync(`${path}.new`, path)
  await until('the second', () => said()[0] === 'two')
})

test('a swapped symlink in the path, as Kubernetes does it, is detected', async () => {
  const dir = directory()
  for (const name of ['one', 'two']) {
    mkdirSync(join(dir, `..${name}`))
    writeFileSync(join(dir, `..${name}`, 'services.yml'), `name: ${name}\n`)
  }
  symlinkSync('..one', join(dir, '..data'))
  symlinkSync(join('..data', 'services.yml'), join(dir, 'services.yml'))
  const whole = watch([dir])
  const named = watch([join(dir, 'services.yml')])
  await whole.until('the first', () => whole.said()[0] === 'one')
  await named.until('the first', () => named.said()[0] === 'one')
  symlinkSync('..two', join(dir, '..data_tmp'))
  renameSync(join(dir, '..data_tmp'), join(dir, '..data'))
  await whole.until('the second', () => whole.said()[0] === 'two')
  await named.until('the second', () => named.said()[0] === 'two')
  assert.equal(whole.lines, [])
})

test('a half-written file is never used, though it is valid', async () => {
  const path = file('name: whole\nlast: 0\n')
  const pollMs = 200
  const { emitted, found, until } = watch([path], { pollMs })
  await until('the first', () => found.length === 2)
  for (let round = 1; round <= 8; round++) {
    // The intermediate content is valid and different; scans happen at any time.
    writeFileSync(path, 'name: half\n')
    await sleep(pollMs / 8)
    appendFileSync(path, `last: ${round}\n`)
    await sleep(pollMs / 8)
    writeFileSync(path, `name: whole\nlast: ${round}\n`)
    await sleep(pollMs / 2 + round * 7)
  }
  const read = found.length
  await until('the last', () => found.length > read)
  assert.equal([...new Set(found.flat())], ['whole'])
  assert.is(emitted.length, 1)
})

test('a broken file: its content stays with an error; its end is logged once', async () => {
  const path = file('name: one\n')
  const { provider, emitted, said, until, looks, lines } = watch([path, file('name: other\n')])
  await until('the first', () => emitted.length === 1)
  writeFileSync(path, 'name: [\n  oops: }\n')
  await until('the error', () => (emitted.at(-1)?.errors.length ?? 0) > 0)
  assert.equal(said(), ['one', 'other'])
  const [error] = emitted.at(-1)?.errors ?? []
  assert.equal([error?.severity, error?.provider, error?.source, error?.key, error?.value], ['error', 'file', path, '', ''])
  assert.match(error?.message ?? '', /^expected YAML at line 2, column \d+ \(.+\); its last valid content stays in use$/)
  assert.match(provider.status().lastError ?? '', `${path}: expected YAML at line 2`)
  await looks(5)
  assert.equal(lines, [], 'control logs what is wrong with a configuration')
  assert.is(emitted.length, 2)
  writeFileSync(path, 'name: mended\n')
  await until('the end of it', () => said()[0] === 'mended')
  await looks(3)
  assert.equal(emitted.at(-1)?.errors, [])
  assert.is(provider.status().lastError, null)
  assert.equal(
    lines.map(({ level, msg }) => [level, msg]),
    [[30, `services file ${path} is readable again`]],
  )
})

test('a file that is broken from the start: the others are emitted', async () => {
  const broken = file('name = \n', 'a.toml')
  const { provider, emitted, said, until } = watch([broken, file('name: other\n')])
  await until('the first', () => emitted.length === 1)
  assert.equal(said(), ['other'])
  assert.equal(
    emitted[0]?.errors.map(({ source, message }) => [source, message]),
    [[broken, 'expected TOML at line 1, column 8 (invalid value); only its content from before the start is served']],
  )
  assert.ok(provider.status().synced)
})

test('unread files are distinguished from read and removed ones', async () => {
  const dir = directory()
  for (const [name, text] of [
    ['a.yml', 'name: a\n'],
    ['b.yml', 'name: b\n'],
    ['broken.yml', '['],
  ] as const)
    writeFileSync(join(dir, name), text)
  const { emitted, said, until } = watch([dir])
  const both = [join(dir, 'a.yml'), join(dir, 'b.yml')]
  await until('the first', () => emitted.length === 1)
  assert.equal(emitted[0]?.readSources, both)
  unlinkSync(join(dir, 'a.yml'))
  await until('a is gone', () => said().length === 1)
  assert.equal(emitted.at(-1)?.readSources, both, 'what it said is not asked for any more')
  writeFileSync(join(dir, 'broken.yml'), 'name: c\n')
  await until('the mended one', () => said().length === 2)
  assert.is(emitted.at(-1)?.readSources, undefined)
  writeFileSync(join(dir, 'broken.yml'), '[')
  await until('the error', () => emitted.at(-1)?.errors.length === 1)
  assert.is(emitted.at(-1)?.readSources, undefined, 'it goes on by itself')
})

for (const [what, spoil, told] of [
  ['too large', (path: string) => truncateSync(path, 5 * 1024 * 1024), /expected at most 4194304 bytes, found 5242880/],
  ['binary', (path: string) => writeFileSync(path, Buffer.from([0x80, 0, 0xff])), /in UTF-8, found bytes that are not text/],
  ['empty', (path: string) => truncateSync(path), /expected YAML, found nothing/],
  ['removed', (path: string) => unlinkSync(path), /expected a file that can be read: there is none/],
  [
    'a pipe',
    (path: string) => {
      unlinkSync(path)
      execFileSync('mkfifo', [path])
    },
    /expected a regular file/,
  ],
  [
    'a link in a circle',
    (path: string) => {
      unlinkSync(path)
      symlinkSync(path, path)
    },
    /expected a file that can be read: its links lead in a circle/,
  ],
] as const) {
  test(`a named file that becomes ${what} keeps its content`, async () => {
    const path = file('name: one\n')
    const { emitted, said, until } = watch([path])
    await until('the first', () => emitted.length === 1)
    spoil(path)
    await until('the error', () => (emitted.at(-1)?.errors.length ?? 0) > 0)
    assert.equal(said(), ['one'])
    assert.match(emitted.at(-1)?.errors[0]?.message ?? '', told)
    rmSync(path, { force: true })
    writeFileSync(path, 'name: again\n')
    await until('the end of it', () => said()[0] === 'again')
    assert.equal(emitted.at(-1)?.errors, [])
  })
}

test('a directory: files by extension, sorted, no hidden ones, no subdirectories', async () => {
  const dir = directory()
  for (const [name, says] of [
    ['b.yml', 'name: b'],
    ['a.toml', 'name = "a"'],
    ['c.json', '{"name": "c"}'],
    ['d.yaml', 'name: d'],
    ['.hidden.yml', 'name: hidden'],
    ['a.toml~', 'name = "old"'],
    ['notes.txt', 'name: notes'],
  ] as const)
    writeFileSync(join(dir, name), says)
  mkdirSync(join(dir, 'below.yml'))
  writeFileSync(join(dir, 'below.yml', 'e.yml'), 'name: e')
  const { emitted, said, until, lines } = watch([dir])
  await until('the first', () => emitted.length === 1)
  assert.equal(said(), ['a', 'b', 'c', 'd'])
  unlinkSync(join(dir, 'b.yml'))
  await until('the removal', () => !said().includes('b'))
  writeFileSync(join(dir, 'bb.yml'), 'name: bb')
  await until('the new one', () => said().join() === 'a,bb,c,d')
  assert.equal(emitted.at(-1)?.errors, [])
  assert.equal(lines, [])
})

test('a broken file of a directory affects itself only, until it is removed', async () => {
  const dir = directory()
  writeFileSync(join(dir, 'a.yml'), 'name: a')
  writeFileSync(join(dir, 'b.yml'), 'name: {')
  const { emitted, said, until, looks, lines } = watch([dir])
  await until('the first', () => emitted.length === 1)
  assert.equal(said(), ['a'])
  assert.is(emitted[0]?.errors.length, 1)
  unlinkSync(join(dir, 'b.yml'))
  await until('the end of the error', () => emitted.at(-1)?.errors.length === 0)
  await looks(2)
  assert.equal(lines, [])
})

test('a directory that disappears or returns: the content stays', async () => {
  const dir = directory()
  writeFileSync(join(dir, 'a.yml'), 'name: a')
  const { emitted, said, until, looks } = watch([dir])
  await until('the first', () => emitted.length === 1)
  renameSync(dir, `${dir}-away`)
  await until('the error', () => emitted.at(-1)?.errors[0]?.source === dir)
  await looks(4)
  assert.equal(said(), ['a'])
  renameSync(`${dir}-away`, dir)
  await until('the end of the error', () => emitted.at(-1)?.errors.length === 0)
  await looks(3)
  assert.equal(said(), ['a'])
})

test('above 100 files new ones are left out with an error, files named by path are not', async () => {
  const dir = directory()
  const digits = (n: number): string => String(n).padStart(3, '0')
  for (let n = 1; n <= 99; n++) writeFileSync(join(dir, `${digits(n)}.yml`), `name: n${n}`)
  const { emitted, said, until } = watch([dir, file('name: named')])
  await until('the first', () => emitted.length === 1)
  assert.is(said().length, 100)
  assert.equal(emitted[0]?.errors, [])
  writeFileSync(join(dir, '000.yml'), 'name: n0')
  await until('the error', () => emitted.at(-1)?.errors.length === 1)
  assert.equal(
    emitted.at(-1)?.errors.map(({ source, message }) => `${source}: ${message}`),
    [`${dir}: expected at most 100 files in all; left out: 1`],
  )
  assert.ok(said().includes('named') && said().includes('n99') && !said().includes('n0'))
})

test('a file named twice, or also by its directory, is used once', async () => {
  const path = file('name: a')
  const { emitted, until } = watch([path, join(path, '..')])
  await until('the first', () => emitted.length === 1)
  assert.equal(Object.keys(emitted[0]?.middlewares ?? {}), ['a'])
})

test('mode listen emits nothing; mode read then emits everything at once', async () => {
  const path = file('name: one\n')
  const { provider, emitted, found, said, until, looks, lines } = watch([path], { start: false })
  provider.cluster.setMode('listen')
  provider.start(config => void emitted.push(config))
  await until('a look', () => provider.status().synced)
  await looks(3)
  writeFileSync(path, 'name: two\n')
  await until('the change', () => found.at(-1)?.[0] === 'two')
  await looks(1)
  assert.is(emitted.length, 0)
  provider.cluster.setMode('read')
  assert.equal(said(), ['two'], 'without waiting')
  provider.cluster.setMode('listen')
  writeFileSync(path, 'name: [')
  await until('the error', () => lines.length > 0)
  await looks(4)
  assert.match(
    lines[0]?.msg ?? '',
    /^services file .* of this replica: expected YAML at line 1.*; its last valid content stays in use$/,
  )
  assert.is(emitted.length, 1)
  writeFileSync(path, 'name: two\n')
  await until('the end of it', () => lines.length > 1)
  assert.equal(
    lines.map(({ level }) => level),
    [40, 30],
  )
  provider.cluster.setMode('read')
  assert.is(emitted.length, 2, 'it is told again, equal or not')
  assert.equal(emitted[0], emitted[1])
  await looks(3)
  assert.is(emitted.length, 2)
})

test('mode read before the first scan: everything is emitted with it', async () => {
  const { provider, emitted, until, looks } = watch([file('name: one\n')])
  provider.cluster.setMode('read')
  await until('the first', () => emitted.length > 0)
  await looks(3)
  assert.is(emitted.length, 1)
})

test('an exception of the reader or the consumer: the configuration stays', async () => {
  const path = file('name: one\n')
  const { provider, emitted, said, until, looks, lines } = watch([path])
  await until('the first', () => emitted.length === 1)
  writeFileSync(path, 'name: defect\n')
  await until('the line', () => lines.length === 1)
  await looks(3)
  assert.match(lines[0]?.msg ?? '', /^a defect in Skein/)
  assert.match(provider.status().lastError ?? '', /not to be read/)
  assert.is(lines.length, 1)
  assert.equal(said(), ['one'])
  writeFileSync(path, 'name: two\n')
  await until('the end of it', () => said()[0] === 'two')
  assert.is(provider.status().lastError, null)
})

test('nothing is scanned, logged or emitted after stop', async () => {
  const path = file('name: one\n')
  const { provider, emitted, until, looks, lines } = watch([path])
  await until('the first', () => emitted.length === 1)
  await provider.stop()
  writeFileSync(path, 'name: [')
  provider.cluster.setMode('read')
  await looks(4)
  assert.is(emitted.length, 1)
  assert.equal(lines, [])
})

test.run()
