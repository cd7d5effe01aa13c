// `skein demo` (and `npm start`): runs an emulated swarm with three replicas on this machine.

import { loadCommand, optionsEnvironment } from './start.ts'

export async function demo(args: readonly string[]): Promise<number> {
  const loaded = await loadCommand('demo', optionsEnvironment(args))
  if (typeof loaded === 'number') return loaded
  const { port, adminPort, managerPort, seconds } = loaded.values
  const { runDemo } = await import('../demo/demo.ts')
  return runDemo({ port, adminPort, managerPort, ...(seconds === null ? {} : { seconds }) })
}
