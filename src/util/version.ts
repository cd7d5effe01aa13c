// Skein's version, read from package.json: three levels up from dist/src/util, two from src/util.

import { readFileSync } from 'node:fs'

/** For example `0.1.0`; `unknown` if Skein's package.json is not found. */
export function readVersion(): string {
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const content: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
      if (
        typeof content === 'object' &&
        content !== null &&
        'name' in content &&
        content.name === 'skein' &&
        'version' in content
      ) {
        return String(content.version)
      }
    } catch {
      // Not this one.
    }
  }
  return 'unknown'
}
