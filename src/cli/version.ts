// `skein version`: prints the versions of Skein and Node and the platform.

import { readVersion } from '../util/version.ts'
import { loadCommand, optionsEnvironment } from './start.ts'

export async function version(args: readonly string[]): Promise<number> {
  const loaded = await loadCommand('version', optionsEnvironment(args))
  if (typeof loaded === 'number') return loaded
  const facts = { skein: readVersion(), node: process.version, platform: `${process.platform}-${process.arch}` }
  process.stdout.write(
    loaded.values.json ? `${JSON.stringify(facts)}\n` : `skein ${facts.skein} (Node ${facts.node}, ${facts.platform})\n`,
  )
  return 0
}
