// A demo replica's process: Skein's own command line, which ends as soon as the demo that started it is gone (its IPC channel
// closes, however the demo died) and then also removes what the demo kept on disk. Only the demo starts this.

import { rmSync } from 'node:fs'
import { basename } from 'node:path'

/** Where the demo keeps its replicas' data: a directory that it made, by its name's beginning. */
const directory = process.env.DEMO_OF_SKEIN_DIRECTORY ?? ''

const parentGone = (): void => {
  // SIGTERM lets it finish; a second later nothing of the demo may be left.
  process.kill(process.pid, 'SIGTERM')
  setTimeout(() => process.exit(0), 1_000)
  process.on('exit', () => {
    if (basename(directory).startsWith('skein-demo-')) rmSync(directory, { recursive: true, force: true })
  })
}

if (process.connected !== true) {
  process.stderr.write('this file is started by the demo only\n')
  process.exit(2)
}
process.on('disconnect', parentGone)
process.channel?.unref()
await import('../main.ts')
