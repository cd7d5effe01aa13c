// `npm run check:imports`: reports cycles between files, cycles between folders and imports in a forbidden direction. Exit code 1 if there are any.

import { dirname, join } from 'node:path'
import { betweenFolders, cycles, type Import, isBelow, readImports } from './graph.ts'
import { DIRECTIONS, type Exception, FILE_EXCEPTIONS, FOLDER_EXCEPTIONS } from './rules.ts'

const root = join(import.meta.dirname, '../..')
const product = readImports(root, ['src', 'cluster'])
const violations: string[] = []
const used = new Set<Exception>()

const files = without(product, FILE_EXCEPTIONS)
for (const group of cycles(files)) reportCycle('files', group, files)

const folders = without(betweenFolders(product), FOLDER_EXCEPTIONS)
for (const group of cycles(folders)) reportCycle('folders', group, folders)

for (const { from, to, except, why } of DIRECTIONS) {
  for (const each of files) {
    if (!isBelow(each.from, from) || !to.some(scope => isBelow(each.to, scope))) continue
    if (except?.some(scope => isBelow(each.to, scope))) continue
    violations.push(`direction: ${each.from} imports ${each.to} (${from}: ${why})`)
  }
}

for (const exception of [...FILE_EXCEPTIONS, ...FOLDER_EXCEPTIONS]) {
  if (!used.has(exception))
    violations.push(`exception without need: ${exception.from} -> ${exception.to}; remove it from rules.ts`)
}

for (const line of violations) console.log(line)
const exceptions = FILE_EXCEPTIONS.length + FOLDER_EXCEPTIONS.length
console.log(
  `${violations.length} violations, ${exceptions} exceptions, ${product.length} imports, ${new Set(product.map(each => dirname(each.from))).size} folders`,
)
if (violations.length > 0) process.exitCode = 1

function without(imports: readonly Import[], exceptions: readonly Exception[]): Import[] {
  return imports.filter(({ from, to }) => {
    const exception = exceptions.find(each => each.from === from && each.to === to)
    if (exception !== undefined) used.add(exception)
    return exception === undefined
  })
}

function reportCycle(kind: string, group: readonly string[], edges: readonly Import[]): void {
  const members = new Set(group)
  const within = edges.filter(({ from, to }) => from !== to && members.has(from) && members.has(to))
  violations.push(`cycle of ${group.length} ${kind}:\n${within.map(({ from, to }) => `    ${from} -> ${to}`).join('\n')}`)
}
