// Takes the first prefix that fits off the path and tells the server in X-Forwarded-Prefix (PathStrip, PathPrefixStrip of Traefik
// v1). A prefix is plain text: `/api` also fits `/apix`, of which `/x` is left. A header of that name from the client does not
// get through.

import { pathLiteral } from '../rules/literals.ts'
import { ASTERISK, cutPath } from './path.ts'
import type { RequestEdit } from './pipeline.ts'

export function stripPrefix(written: readonly string[]): RequestEdit {
  const prefixes = written.map(pathLiteral)
  return x => {
    const path = x.path
    if (path === ASTERISK) return
    for (let i = 0; i < prefixes.length; i++) {
      const prefix = prefixes[i]!
      if (path.startsWith(prefix)) {
        cutPath(x, prefix.length)
        x.setHeader('X-Forwarded-Prefix', prefix)
        return
      }
    }
  }
}
