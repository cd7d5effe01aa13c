// `skein agent`: a read-only, filtered window on a manager's Docker API for replicas that know the secret.

import type { Log } from '../log.ts'
import { createLog } from '../log.ts'
import { agentOptions } from '../options/load.ts'
import type { AgentOptions } from '../options/options.ts'
import { exitOnDefect } from './run.ts'
import { begin, fail, surroundings, untilSignal } from './start.ts'

interface Agent {
  stop(): Promise<void>
}

export async function agent(args: readonly string[]): Promise<number> {
  const loaded = await begin('agent', surroundings(args))
  if (typeof loaded === 'number') return loaded
  const result = agentOptions(loaded)
  if (!result.ok) return fail('agent', result.errors, 2)
  const options = result.value
  const log = createLog(options.log, { secrets: [options.secret] })
  for (const warning of loaded.warnings) log.warn(warning)
  exitOnDefect(log)
  try {
    return await untilSignal(
      startAgent(options, log).then(started => () => started.stop()),
      signal => log.info({ signal }, 'stopping'),
    )
  } catch (error) {
    log.fatal({ err: error }, `the agent cannot run: ${(error as Error).message}`)
    return 1
  }
}

async function startAgent(options: AgentOptions, log: Log): Promise<Agent> {
  const path = '../agent/agent.ts'
  const module = (await import(path)) as { startAgent(options: AgentOptions, log: Log): Promise<Agent> }
  return module.startAgent(options, log)
}
