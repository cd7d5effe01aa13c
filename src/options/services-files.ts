// The files that services are read from, as the options name them: what is no file or directory of the right kind at start is a
// mistake in the options. What they hold, and what becomes of them later, is the file provider's.

import type { OptionsEnvironment } from './load.ts'
import { describeReadError } from './secret-values.ts'
import { quoted } from './sources.ts'

/** Files (and directories) that may be named. */
const MOST_PATHS = 100

const ENDING = /\.(?:toml|ya?ml|json)$/i

/** One line for each path that cannot be used. `origin` names the option as it was given. */
export function servicesFileMistakes(
  paths: readonly string[],
  origin: string,
  around: Pick<OptionsEnvironment, 'pathKindOf'>,
): string[] {
  if (paths.length > MOST_PATHS) return [`${origin} is given ${paths.length} times, expected at most ${MOST_PATHS} paths`]
  const expected = 'a .toml, .yml, .yaml or .json file, or a directory with such files'
  return paths.flatMap(path => {
    try {
      const what = around.pathKindOf(path)
      if (what === 'directory') return []
      if (what === 'other') return [`${origin} is ${quoted(path)} and is neither a file nor a directory, expected ${expected}`]
      return ENDING.test(path) ? [] : [`${origin} is ${quoted(path)}, expected ${expected}`]
    } catch (error) {
      return [`${origin} is ${quoted(path)} and ${describeReadError(error)}, expected ${expected}`]
    }
  })
}
