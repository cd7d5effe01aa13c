// Parses YAML in time linear to the text. The parser's own checks for duplicate keys, long error messages and aliases take
// minutes for some large files, so they are replaced here. Pure.

import type { Alias, Document, Node, YAMLMap } from 'yaml'
import { loadYaml } from '../../util/lean-imports.ts'

/** A mistake in the text; line and column start at 1. */
export interface YamlMistake {
  readonly line: number
  readonly column: number
  readonly what: string
}

export type ParsedYaml = { readonly content: unknown } | { readonly mistake: YamlMistake } | 'too deep'

const MAX_ALIASES = 1_000
/** Entries that `<<` may add in total. */
const MAX_MERGED = 100_000

export function parseYaml(text: string): ParsedYaml {
  const { parseDocument, LineCounter } = loadYaml()
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { merge: true, uniqueKeys: false, prettyErrors: false, logLevel: 'error', lineCounter })
  const mistake = (offset: number, what: string): ParsedYaml => {
    const { line, col } = lineCounter.linePos(offset)
    return { mistake: { line, column: col, what } }
  }
  const [error] = document.errors
  if (error !== undefined) return error.code === 'RESOURCE_EXHAUSTION' ? 'too deep' : mistake(error.pos[0], error.message)
  const found = findMistake(document)
  if (found !== null) return mistake(found.node.range?.[0] ?? 0, found.what)
  // The parser's limit for aliases of aliases, which multiply.
  return { content: document.toJS({ maxAliasCount: MAX_ALIASES }) }
}

/** The first mistake that the parser does not check: duplicate keys, too many aliases, too many merged entries. */
function findMistake(document: Document): { readonly node: Node; readonly what: string } | null {
  const { visit, isAlias, isCollection, isMap, isNode, isScalar, isSeq } = loadYaml()
  /** Number of entries of each anchored map, including merged ones. */
  const sizes = new Map<string, number>()
  let aliases = 0
  let merged = 0
  let found: { node: Node; what: string } | null = null

  function stop(node: Node, what: string): symbol {
    found = { node, what }
    return visit.BREAK
  }

  function sizeOf(value: unknown): number {
    return isAlias(value) ? (sizes.get((value as Alias).source) ?? 0) : isMap(value) ? value.items.length : 0
  }

  function checkMap(map: YAMLMap): symbol | undefined {
    const seen = new Set<unknown>()
    let size = map.items.length
    for (const { key, value } of map.items) {
      if (!isScalar(key)) continue
      // The parser represents `<<` by a symbol.
      if (typeof key.value === 'symbol') {
        const more = (isSeq(value) ? value.items : [value]).reduce((sum: number, one) => sum + sizeOf(one), 0)
        size += more
        merged += more
        if (merged > MAX_MERGED) return stop(key, `more than ${MAX_MERGED} entries are merged`)
      } else if (seen.has(key.value)) return stop(key, 'a key is given twice')
      else seen.add(key.value)
    }
    if (map.anchor !== undefined) sizes.set(map.anchor, size)
    return undefined
  }

  visit(document, {
    Node(_, node) {
      if (!isNode(node)) return undefined
      const anchored = (isScalar(node) || isCollection(node)) && node.anchor !== undefined
      if ((anchored || isAlias(node)) && ++aliases > MAX_ALIASES)
        return stop(node, `more than ${MAX_ALIASES} anchors and aliases`)
      return isMap(node) ? checkMap(node) : undefined
    },
  })
  return found
}
