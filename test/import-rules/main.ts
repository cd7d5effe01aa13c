// `npm run check:imports`: reports cycles between files, cycles between folders and imports in a forbidden direction. Exit code 1 if there are any,
// or if an exception is not needed any more.

import { dirname, join } from 'node:path'
import { betweenFolders, cycles, type Import, isBelow, readImports } from './graph.ts'
import { DIRECTIONS, type Exception, FILE_EXCEPTIONS, FOLDER_EXCEPTIONS } from './rules.ts'

const root = join(import.meta.dirname, '../..')
const imports = readImports(root, ['src', 'cluster'])
const violations = [
  ...cyclesOf('files', imports, FILE_EXCEPTIONS),
  ...cyclesOf('folders', betweenFolders(imports), FOLDER_EXCEPTIONS),
  ...forbiddenDirections(),
]

for (const line of violations) console.log(line)
const folders = new Set(imports.map(each => dirname(each.from))).size
const exceptions = FILE_EXCEPTIONS.length + FOLDER_EXCEPTIONS.length
console.log(`${imports.length} imports in ${folders} folders: ${violations.length} violations, ${exceptions} exceptions`)
if (violations.length > 0) process.exitCode = 1

function cyclesOf(kind: string, edges: readonly Import[], exceptions: readonly Exception[]): string[] {
  const counted = without(edges, exceptions)
  const found = cycles(counted).map(group => describe(kind, group, counted))
  for (const exception of exceptions) {
    const others = exceptions.filter(each => each !== exception)
    if (cycles(without(edges, others)).length > 0) continue
    found.push(`exception without need: ${exception.from} -> ${exception.to}; remove it from test/import-rules/rules.ts`)
  }
  return found
}

function forbiddenDirections(): string[] {
  return DIRECTIONS.flatMap(({ from, to, except, why }) =>
    imports
      .filter(each => isBelow(each.from, from) && to.some(scope => isBelow(each.to, scope)))
      .filter(each => except?.some(scope => isBelow(each.to, scope)) !== true)
      .map(each => `direction: ${each.from} imports ${each.to} (${from}: ${why})`),
  )
}

function without(edges: readonly Import[], exceptions: readonly Exception[]): Import[] {
  return edges.filter(({ from, to }) => !exceptions.some(each => each.from === from && each.to === to))
}

function describe(kind: string, group: readonly string[], edges: readonly Import[]): string {
  const members = new Set(group)
  const within = edges.filter(({ from, to }) => from !== to && members.has(from) && members.has(to))
  return `cycle of ${group.length} ${kind}:\n${within.map(({ from, to }) => `    ${from} -> ${to}`).join('\n')}`
}
