// A demo replica's process: Skein's own command line, which ends as soon as the demo that started it is gone (its IPC channel closes, however
// the demo died). Only the demo starts this.

const parentGone = (): void => {
  // SIGTERM lets it finish; a second later nothing of the demo may be left.
  process.kill(process.pid, 'SIGTERM')
  setTimeout(() => process.exit(0), 1_000)
}

if (process.connected !== true) {
  process.stderr.write('this file is started by the demo only\n')
  process.exit(2)
}
process.on('disconnect', parentGone)
process.channel?.unref()
await import('../main.ts')

export {}
