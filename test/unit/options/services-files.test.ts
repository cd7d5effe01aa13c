import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkServicesFiles } from '../../../src/options/services-files.ts'

const FOUND: Readonly<Record<string, 'file' | 'directory' | 'other'>> = {
  '/s/a.toml': 'file',
  '/s/b.YAML': 'file',
  '/s/c.yml': 'file',
  '/s/d.json': 'file',
  '/s/notes.txt': 'file',
  '/s/toml': 'file',
  '/s': 'directory',
  '/s/pipe.toml': 'other',
}

function mistakes(...paths: string[]): string[] {
  return checkServicesFiles(paths, '--services-file', {
    pathKindOf(path) {
      if (path === '/locked.toml') throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' })
      const what = FOUND[path]
      if (what === undefined) throw Object.assign(new Error('ENOENT: no such file'), { code: 'ENOENT' })
      return what
    },
  })
}

test('files with the four extensions and directories are valid', () => {
  assert.equal(mistakes('/s/a.toml', '/s/b.YAML', '/s/c.yml', '/s/d.json', '/s'), [])
})

const EXPECTED = 'expected a .toml, .yml, .yaml or .json file, or a directory with such files'
for (const [path, line] of [
  ['/s/none.toml', '--services-file is "/s/none.toml" and there is no such file'],
  ['/locked.toml', '--services-file is "/locked.toml" and it may not be read'],
  ['/s/notes.txt', '--services-file is "/s/notes.txt"'],
  ['/s/toml', '--services-file is "/s/toml"'],
  ['/s/pipe.toml', '--services-file is "/s/pipe.toml" and is neither a file nor a directory'],
] as const) {
  test(`${path} is an error`, () => assert.equal(mistakes('/s/a.toml', path), [`${line}, ${EXPECTED}`]))
}

test('too many paths are one error', () => {
  const paths = Array.from({ length: 101 }, (_, n) => `/none/${n}.toml`)
  assert.equal(mistakes(...paths), ['--services-file is given 101 times, expected at most 100 paths'])
})

test.run()
