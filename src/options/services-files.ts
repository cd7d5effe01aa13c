// Checks the paths in --services-file: each must be a readable file of a known type, or a directory, when Skein starts. Their content
// and later changes are handled by the file provider.

import type { OptionsEnvironment } from './environment.ts'
import { describeReadError } from './option-file.ts'
import { quoted } from './quote.ts'

/** Files and directories in the option. */
const MAX_PATHS = 100

const ENDING = /\.(?:toml|ya?ml|json)$/i

/** One line for each unusable path. `origin` is the option as it was given. */
export function checkServicesFiles(
  paths: readonly string[],
  origin: string,
  environment: Pick<OptionsEnvironment, 'pathKindOf'>,
): string[] {
  if (paths.length > MAX_PATHS) return [`${origin} is given ${paths.length} times, expected at most ${MAX_PATHS} paths`]
  const expected = 'a .toml, .yml, .yaml or .json file, or a directory with such files'
  return paths.flatMap(path => {
    try {
      const what = environment.pathKindOf(path)
      if (what === 'directory') return []
      if (what === 'other') return [`${origin} is ${quoted(path)} and is neither a file nor a directory, expected ${expected}`]
      return ENDING.test(path) ? [] : [`${origin} is ${quoted(path)}, expected ${expected}`]
    } catch (error) {
      return [`${origin} is ${quoted(path)} and ${describeReadError(error)}, expected ${expected}`]
    }
  })
}
