// The import graph of the project: relative imports and re-exports of every TypeScript file, type imports and `import()` included.
// Cycles are found as strongly connected components (Tarjan 1972), over files or over folders.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

export interface Import {
  readonly from: string
  readonly to: string
}

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s*['"](\.[^'"]+)['"]|(?:^|\n)import\s*['"](\.[^'"]+)['"]|\bimport\(\s*['"](\.[^'"]+)['"]/g

/** The relative imports of one file, as paths from the project's root. */
export function importsOf(file: string, text: string): Import[] {
  const imports: Import[] = []
  for (const match of text.matchAll(IMPORT)) {
    const target = match[1] ?? match[2] ?? match[3]
    if (target !== undefined) imports.push({ from: file, to: normalize(join(dirname(file), target)) })
  }
  return imports
}

/** The imports of all TypeScript files below these folders. */
export function readImports(root: string, folders: readonly string[]): Import[] {
  const imports: Import[] = []
  for (const folder of folders) {
    for (const name of readdirSync(join(root, folder), { recursive: true }) as string[]) {
      if (!name.endsWith('.ts')) continue
      const file = join(folder, name)
      imports.push(...importsOf(file, readFileSync(join(root, file), 'utf8')))
    }
  }
  return imports
}

/**
 * The imports between different folders, one for each pair. Files in a folder that contains other folders stand for themselves, since
 * such a folder has files of several layers.
 */
export function betweenFolders(imports: readonly Import[]): Import[] {
  const parents = new Set<string>()
  for (const { from, to } of imports) for (const file of [from, to]) parents.add(dirname(dirname(file)))
  const unit = (file: string): string => (parents.has(dirname(file)) ? file : dirname(file))
  const pairs = new Map<string, Import>()
  for (const each of imports) {
    const from = unit(each.from)
    const to = unit(each.to)
    if (from !== to) pairs.set(`${from} ${to}`, { from, to })
  }
  return [...pairs.values()]
}

/** Groups of two or more nodes that reach each other, each sorted by name. */
export function cycles(edges: readonly Import[]): string[][] {
  const targets = new Map<string, Set<string>>()
  for (const { from, to } of edges) {
    targets.set(from, (targets.get(from) ?? new Set()).add(to))
    if (!targets.has(to)) targets.set(to, new Set())
  }
  const index = new Map<string, number>()
  const lowest = new Map<string, number>()
  const open: string[] = []
  const isOpen = new Set<string>()
  const found: string[][] = []

  const visit = (node: string): void => {
    index.set(node, index.size)
    lowest.set(node, index.get(node) as number)
    open.push(node)
    isOpen.add(node)
    for (const target of targets.get(node) ?? []) {
      if (!index.has(target)) {
        visit(target)
        lowest.set(node, Math.min(lowest.get(node) as number, lowest.get(target) as number))
      } else if (isOpen.has(target)) {
        lowest.set(node, Math.min(lowest.get(node) as number, index.get(target) as number))
      }
    }
    if (lowest.get(node) !== index.get(node)) return
    const group: string[] = []
    for (;;) {
      const member = open.pop() as string
      isOpen.delete(member)
      group.push(member)
      if (member === node) break
    }
    if (group.length > 1) found.push(group.sort())
  }

  for (const node of targets.keys()) if (!index.has(node)) visit(node)
  return found.sort((a, b) => b.length - a.length)
}

/** Whether a path is the given file or folder, or lies below it. `*` stands for everything. */
export function isBelow(path: string, scope: string): boolean {
  return scope === '*' || path === scope || path.startsWith(`${scope}/`)
}
