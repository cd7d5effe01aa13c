import { test } from 'uvu'
import { equal } from 'uvu/assert'
import { betweenFolders, cycles, importsOf, isBelow } from '../../import-rules/graph.ts'

test('imports: values, types, re-exports, side effects and import() count, packages do not', () => {
  const text = `import { a } from './a.ts'
import type { B } from '../b/b.ts'
export { c } from './c.ts'
import {
  d,
} from './d.ts'
import './e.ts'
import { f } from 'node:fs'
const g = await import('../g.ts')
`
  equal(
    importsOf('src/x/file.ts', text)
      .map(each => each.to)
      .sort(),
    ['src/b/b.ts', 'src/g.ts', 'src/x/a.ts', 'src/x/c.ts', 'src/x/d.ts', 'src/x/e.ts'],
  )
})

test('cycles: two groups, the larger one first; a chain is no cycle', () => {
  const edges = ['a b', 'b c', 'c a', 'c d', 'd e', 'f g', 'g f'].map(pair => ({
    from: pair[0] as string,
    to: pair[2] as string,
  }))
  equal(cycles(edges), [
    ['a', 'b', 'c'],
    ['f', 'g'],
  ])
})

test('folders: imports within a folder do not count, several between two folders count once', () => {
  const edges = [
    { from: 'src/a/x.ts', to: 'src/a/y.ts' },
    { from: 'src/a/x.ts', to: 'src/b/z.ts' },
    { from: 'src/a/y.ts', to: 'src/b/z.ts' },
  ]
  equal(betweenFolders(edges), [{ from: 'src/a', to: 'src/b' }])
})

test('folders: a file beside folders stands for itself', () => {
  const edges = [
    { from: 'src/a/top.ts', to: 'src/a/core/x.ts' },
    { from: 'src/a/core/x.ts', to: 'src/a/base.ts' },
  ]
  equal(betweenFolders(edges), [
    { from: 'src/a/top.ts', to: 'src/a/core' },
    { from: 'src/a/core', to: 'src/a/base.ts' },
  ])
})

test('scopes: a folder contains what is below it, not a folder whose name begins alike', () => {
  equal(isBelow('src/rules/matcher.ts', 'src/rules'), true)
  equal(isBelow('src/rules-v3/matcher.ts', 'src/rules'), false)
})

test.run()
