// The build stage of the image: writes its whole root file system to the given directory. Runs inside `docker build`, at the top of a
// checkout. If the context contains dist/image (from `npm run build`), that is used and no network is needed; otherwise it is built here.

import { spawnSync } from 'node:child_process'
import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { writeRootfs } from './rootfs.ts'

const BUILT = 'dist/image'

const root = process.argv[2]
if (root === undefined) {
  console.error('usage: node deploy/image.ts DIRECTORY')
  process.exit(2)
}
if (!existsSync(BUILT)) {
  for (const args of [['ci'], ['run', 'build']]) {
    // npm has printed the error.
    if (spawnSync('npm', args, { stdio: 'inherit' }).status !== 0) process.exit(1)
  }
}
writeRootfs(root)
cpSync(BUILT, join(root, 'app'), { recursive: true })
cpSync('deploy/healthcheck.ts', join(root, 'app/healthcheck.ts'))
