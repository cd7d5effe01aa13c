// `skein agent`: serves a read-only, filtered view of a manager's Docker API to replicas that hold the secret.

import { agentOptions } from '../options/load.ts'
import { createLog } from '../util/log.ts'
import { exitOnUncaught, loadCommand, logFatal, optionsEnvironment, reportErrors, runUntilSignal } from './start.ts'

export async function agent(args: readonly string[]): Promise<number> {
  const loaded = await loadCommand('agent', optionsEnvironment(args))
  if (typeof loaded === 'number') return loaded
  const result = agentOptions(loaded)
  if (!result.ok) return reportErrors('agent', result.errors, 2)
  const options = result.value
  const log = createLog(options.log, { secrets: options.secrets })
  for (const warning of loaded.warnings) log.warn(warning)
  exitOnUncaught(log)
  try {
    return await runUntilSignal(
      import('../agent/agent.ts').then(async ({ startAgent }) => {
        const started = await startAgent(options, log)
        return () => started.stop()
      }),
      signal => log.info({ signal }, 'stopping'),
    )
  } catch (error) {
    return logFatal(log, error)
  }
}
