// A root file system for Redis, from this machine's redis-server: what deploy/redis.yml requires of an image (`sh`, `redis-server`,
// `redis-cli`, a /data that user 999 owns), `cat`, and the libraries of these programs.

import { chownSync, copyFileSync, existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { run } from './command.ts'

const PROGRAMS = ['sh', 'cat', 'redis-server', 'redis-cli']
const REDIS_UID = 999

function put(root: string, source: string, target: string): void {
  const path = join(root, target)
  if (existsSync(path)) return
  mkdirSync(dirname(path), { recursive: true })
  copyFileSync(realpathSync(source), path)
}

/**
 * Paths of the libraries that a program loads, including the dynamic loader, from the output of `ldd`: `name => /path (0x...)`,
 * `/path (0x...)`.
 */
export function librariesIn(ldd: string): string[] {
  return [...ldd.matchAll(/(?:^|=>)\s*(\/\S+)\s+\(0x/gm)].map(([, path = '']) => path)
}

/** Writes the file system below `root` (an empty or new directory). @throws if a program is not installed */
export async function writeRedisRootfs(root: string): Promise<void> {
  for (const program of PROGRAMS) {
    const path = (await run('sh', ['-c', 'command -v "$1"', 'sh', program])).trim()
    // A directory that is in the default PATH of an image.
    put(root, path, join('/bin', program))
    for (const library of librariesIn(await run('ldd', [path]))) put(root, library, library)
  }
  mkdirSync(join(root, 'etc'), { recursive: true })
  writeFileSync(
    join(root, 'etc/passwd'),
    `root:x:0:0:root:/root:/bin/sh\nredis:x:${REDIS_UID}:${REDIS_UID}:redis:/data:/bin/sh\n`,
  )
  writeFileSync(join(root, 'etc/group'), `root:x:0:\nredis:x:${REDIS_UID}:\n`)
  writeFileSync(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n')
  mkdirSync(join(root, 'tmp'))
  mkdirSync(join(root, 'data'))
  chownSync(join(root, 'data'), REDIS_UID, REDIS_UID)
}
