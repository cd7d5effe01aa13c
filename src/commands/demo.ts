// `skein demo` (and `npm start`): an emulated swarm with three replicas on this machine, to try things on.

import { begin, surroundings } from './start.ts'

export async function demo(args: readonly string[]): Promise<number> {
  const loaded = await begin('demo', surroundings(args))
  if (typeof loaded === 'number') return loaded
  const path = '../demo/demo.ts'
  const module = (await import(path)) as { runDemo(): Promise<number> }
  return module.runDemo()
}
