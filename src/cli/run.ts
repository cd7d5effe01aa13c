// `skein run`: runs one replica until SIGTERM or SIGINT, then finishes the requests in flight (--grace) and exits with 0.

import { runOptions } from '../options/load.ts'
import type { RunOptions } from '../options/options.ts'
import { createLog } from '../util/log.ts'
import { readVersion } from '../util/version.ts'
import { exitOnUncaught, loadCommand, logFatal, optionsEnvironment, reportErrors, runUntilSignal } from './start.ts'

export async function run(args: readonly string[]): Promise<number> {
  const environment = optionsEnvironment(args)
  const loaded = await loadCommand('run', environment)
  if (typeof loaded === 'number') return loaded
  const result = runOptions(loaded, environment)
  if (!result.ok) return reportErrors('run', result.errors, 2)
  const { options, disabled } = result.value
  const { workers, swarm, files } = options
  if (swarm.managers.length === 0 && files.length === 0) {
    const example = 'unix:///var/run/docker.sock, tcp://10.0.0.1:2376 or agent://10.0.0.1:7999'
    const expected = `expected at least one Swarm manager such as ${example}, or --services-file`
    return reportErrors('run', [`--manager is missing, ${expected}`], 2)
  }
  const log = createLog(options.log, { fields: { replica: options.name }, secrets: secretsOf(options) })
  for (const warning of loaded.warnings) log.warn(warning)
  const version = readVersion()
  log.info(
    { version, workers, managers: swarm.managers, ...(files.length === 0 ? {} : { files }) },
    `skein ${version} starts${disabled.length === 0 ? '' : `; off: ${disabled.join('; ')}`}`,
  )
  exitOnUncaught(log)
  try {
    const code = await runUntilSignal(
      import('../control/control.ts').then(async ({ startReplica }) => {
        const replica = await startReplica(options, log)
        return () => replica.stop()
      }),
      signal => {
        const { drainDelayMs, graceMs } = options
        const drain = drainDelayMs === 0 ? '' : `accepting requests for another ${drainDelayMs} ms, then `
        log.info({ signal, drainDelayMs, graceMs }, `stopping: ${drain}finishing requests in flight`)
      },
    )
    log.info('stopped')
    return code
  } catch (error) {
    return logFatal(log, error)
  }
}

function secretsOf(options: RunOptions): string[] {
  const { redis } = options.store
  const passwords = redis === null ? [] : [redis.password, redis.sentinelPassword]
  return [options.dataPlane.cookieKey, ...options.dataPlane.relay.keys, ...options.secrets, ...passwords]
}
