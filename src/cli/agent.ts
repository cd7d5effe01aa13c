// `skein agent`: a read-only, filtered window on a manager's Docker API for replicas that know the secret.

import { agentOptions } from '../options/load.ts'
import { createLog } from '../util/log.ts'
import { begin, exitOnDefect, fail, surroundings, tellFatal, untilSignal } from './start.ts'

export async function agent(args: readonly string[]): Promise<number> {
  const loaded = await begin('agent', surroundings(args))
  if (typeof loaded === 'number') return loaded
  const result = agentOptions(loaded)
  if (!result.ok) return fail('agent', result.errors, 2)
  const options = result.value
  const log = createLog(options.log, { secrets: options.secrets })
  for (const warning of loaded.warnings) log.warn(warning)
  exitOnDefect(log)
  try {
    return await untilSignal(
      import('../agent/agent.ts').then(async ({ startAgent }) => {
        const started = await startAgent(options, log)
        return () => started.stop()
      }),
      signal => log.info({ signal }, 'stopping'),
    )
  } catch (error) {
    return tellFatal(log, error)
  }
}
