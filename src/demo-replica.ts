// Entry of a demo replica's process: Skein's command line. It stands next to main.ts, because main.ts loads demo/. When the demo ends for
// any reason, its IPC channel closes; the process then exits and removes the demo's data directory. Only the demo starts this file.

import { rmSync } from 'node:fs'
import { basename } from 'node:path'

/** The directory with the replicas' data. It is removed only if its name has the prefix that the demo uses. */
const directory = process.env.DEMO_OF_SKEIN_DIRECTORY ?? ''

const parentGone = (): void => {
  // SIGTERM lets requests in flight finish; a second later the process exits in any case.
  process.kill(process.pid, 'SIGTERM')
  setTimeout(() => process.exit(0), 1_000)
  process.on('exit', () => {
    if (basename(directory).startsWith('skein-demo-')) rmSync(directory, { recursive: true, force: true })
  })
}

if (process.connected !== true) {
  process.stderr.write('only the demo starts this file\n')
  process.exit(2)
}
process.on('disconnect', parentGone)
process.channel?.unref()
await import('./main.ts')
