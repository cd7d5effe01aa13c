import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FileStates, type ScannedPath } from '../../../../src/providers/file/file-states.ts'

const file = (path: string, state: string, from = path): ScannedPath => ({ path, from, kind: 'file', state, problem: null })
const trouble = (path: string, problem: string, from = path): ScannedPath => ({
  path,
  from,
  kind: 'problem',
  state: `!${problem}`,
  problem,
})
const directory = (path: string): ScannedPath => ({ path, from: path, kind: 'directory', state: 'directory:0', problem: null })

/** File states under test: each file to read is read as its signature says. */
function watched(...paths: string[]): {
  readonly book: FileStates
  /** @returns the paths that were read */
  look(paths: readonly ScannedPath[], unreadable?: readonly string[]): string[]
  said(): unknown[]
} {
  const book = new FileStates(paths)
  return {
    book,
    look(paths, unreadable = []) {
      const due = book.apply({ paths, unreadable: new Set(unreadable) })
      for (const sight of due) {
        const { state } = sight
        book.parsed(sight, state.startsWith('bad') ? { ok: false, message: state } : { ok: true, content: state })
      }
      book.finishScan()
      return due.map(({ path }) => path)
    },
    said: () => book.files().map(({ content }) => content),
  }
}

test('the first scan is used at once and evaluated once more; then only changes are read', () => {
  const { look, said } = watched('a')
  assert.equal(look([file('a', '1')]), ['a'])
  assert.equal(said(), ['1'])
  assert.equal(look([file('a', '1')]), ['a'])
  assert.equal(look([file('a', '1')]), [])
})

test('a change is used once the next scan finds it unchanged', () => {
  const { look, said } = watched('a')
  look([file('a', '1')])
  look([file('a', '1')])
  assert.equal(look([file('a', '2')]), [])
  assert.equal(look([file('a', '3')]), [], 'it is still being written')
  assert.equal(said(), ['1'])
  assert.equal(look([file('a', '3')]), ['a'])
  assert.equal(said(), ['3'])
})

test('a change that is reverted before the next scan is ignored', () => {
  const { look, said } = watched('a')
  look([file('a', '1')])
  look([file('a', '1')])
  look([trouble('a', 'gone')])
  assert.equal(look([file('a', '1')]), [])
  assert.equal(look([trouble('a', 'gone')]), [])
  assert.equal(said(), ['1'])
})

test('a bad file: its last content stays until it is fixed', () => {
  const { book, look, said } = watched('a')
  look([file('a', '1')])
  look([file('a', 'bad 2')])
  look([file('a', 'bad 2')])
  assert.equal(said(), ['1'])
  assert.equal(book.problems(), [{ path: 'a', message: 'bad 2', stays: true }])
  look([file('a', '3')])
  look([file('a', '3')])
  assert.equal(said(), ['3'])
  assert.equal(book.problems(), [])
})

test('a file that is bad from the start has no content, the others are used', () => {
  const { book, look, said } = watched('a', 'b')
  look([file('a', 'bad'), file('b', '1')])
  assert.equal(said(), ['1'])
  assert.equal(book.problems(), [{ path: 'a', message: 'bad', stays: false }])
})

test('a removed file named by path keeps its content, one of a directory does not', () => {
  const { book, look, said } = watched('a', 'd')
  const both = [file('a', '1'), directory('d'), file('d/x', '2', 'd'), file('d/y', '3', 'd')]
  look(both)
  look(both)
  const less = [trouble('a', 'none'), directory('d'), file('d/y', '3', 'd')]
  look(less, ['a'])
  assert.equal(said(), ['1', '2', '3'], 'one look is not enough')
  look(less, ['a'])
  assert.equal(said(), ['1', '3'])
  assert.equal(book.problems(), [{ path: 'a', message: 'none', stays: true }])
})

test('a directory that cannot be listed: its files are kept', () => {
  const { book, look, said } = watched('d')
  const whole = [directory('d'), file('d/x', '1', 'd')]
  look(whole)
  for (let n = 0; n < 3; n++) look([trouble('d', 'locked')], ['d'])
  assert.equal(said(), ['1'])
  assert.equal(
    book.problems().map(({ path, message }) => [path, message]),
    [['d', 'locked']],
  )
  look(whole)
  look(whole)
  assert.equal(book.problems(), [])
  assert.equal(said(), ['1'])
})

test('an unreadable file is tried at every scan; a changing one must be stable again', () => {
  const { book, look, said } = watched('a')
  look([file('a', '1')])
  look([file('a', '1')])
  const [seen] = [file('a', '2')]
  assert.equal(book.apply({ paths: [seen], unreadable: new Set() }), [])
  for (let n = 0; n < 2; n++) {
    assert.equal(book.apply({ paths: [seen], unreadable: new Set() }), [seen])
    book.failed(seen, 'EIO')
    assert.equal(book.problems(), [{ path: 'a', message: 'EIO', stays: true }])
  }
  assert.equal(book.apply({ paths: [seen], unreadable: new Set() }), [seen])
  book.failed(seen, null)
  assert.equal(look([seen]), [], 'it moved')
  assert.equal(look([seen]), ['a'])
  assert.equal(said(), ['2'])
  assert.equal(book.problems(), [])
})

test('a file that changes at every scan is reported, and evaluated when it is stable', () => {
  const { book, look, said } = watched('a')
  look([file('a', '0')])
  look([file('a', '0')])
  for (let n = 1; n < 30; n++) look([file('a', String(n))])
  assert.equal(book.problems(), [])
  look([file('a', 'more')])
  assert.equal(said(), ['0'])
  assert.match(book.problems()[0]?.message ?? '', /^expected a file that does not change .* in 30 consecutive scans$/)
  look([file('a', '0')])
  assert.is(book.problems().length, 1)
  assert.equal(look([file('a', '0')]), ['a'])
  assert.equal(book.problems(), [])
  assert.equal(look([file('a', '0')]), [])
})

test('files are in the order of the options, those of a directory by name', () => {
  const { look, said } = watched('z', 'd', 'b')
  look([file('b', 'b'), file('d/2', 'd2', 'd'), file('d/1', 'd1', 'd'), directory('d'), file('z', 'z')])
  assert.equal(said(), ['z', 'd1', 'd2', 'b'])
})

test('a file that is added to a directory must be stable first', () => {
  const { look, said } = watched('d')
  look([directory('d')])
  look([directory('d')])
  const more = [directory('d'), file('d/x', '1', 'd')]
  look(more)
  assert.equal(said(), [])
  look(more)
  assert.equal(said(), ['1'])
})

test.run()
