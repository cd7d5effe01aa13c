// The lab's images, built without a registry or a network: a base imported from a root file system (this machine's Node and its
// libraries), Skein's own Dockerfile on top of it, the backend on top of that; and Redis from this machine's redis-server. They are
// built on one node and copied to the others.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeRootfs } from '../../deploy/rootfs.ts'
import { eachOf, run } from './command.ts'
import { docker } from './docker.ts'
import { enterGroup, toolGroup } from './groups.ts'
import { writeRedisRootfs } from './redis-rootfs.ts'
import { LAB_DIR, type LabNode } from './topology.ts'

const SKEIN_REPOSITORY = 'skein'
export const BACKEND_IMAGE = 'skein-lab-backend:1'
export const REDIS_IMAGE = 'skein-lab-redis:1'
const BASE_IMAGE = 'skein-lab-base:1'

const CHECKOUT = join(import.meta.dirname, '../..')
const BUILD_DIR = join(LAB_DIR, 'build')
/** The file with the name of the image that was built last. */
const IMAGE_FILE = join(LAB_DIR, 'image')
/** The size limit for Skein's image. */
const IMAGE_LIMIT_BYTES = 250e6

/** Prepares the base's files and the build context; needs no engine, so it can run while the engines start. */
export async function prepareImages(): Promise<void> {
  rmSync(BUILD_DIR, { recursive: true, force: true })
  mkdirSync(BUILD_DIR, { recursive: true })
  writeRootfs(join(BUILD_DIR, 'base'))
  await writeRedisRootfs(join(BUILD_DIR, 'redis'))
  const context = join(BUILD_DIR, 'context')
  cpSync(join(CHECKOUT, 'deploy'), join(context, 'deploy'), { recursive: true })
  // In the lab's control group, so that the next run finds and kills the build of an aborted run.
  const script = `${enterGroup(toolGroup())} && exec "$@"`
  await run('sh', ['-c', script, 'sh', process.execPath, join(CHECKOUT, 'deploy/build.ts'), join(context, 'dist')], {
    cwd: CHECKOUT,
  })
}

/** Imports a directory as an image. */
async function importImage(node: LabNode, directory: string, image: string): Promise<void> {
  const script = 'tar -C "$1" -c . | docker -H "$2" import - "$3"'
  await run('sh', ['-c', script, 'sh', directory, `unix://${node.socket}`, image])
}

/** Builds all images on one node. @throws if Skein's image exceeds the limit */
export async function buildImages(node: LabNode): Promise<void> {
  await importImage(node, join(BUILD_DIR, 'base'), BASE_IMAGE)
  await importImage(node, join(BUILD_DIR, 'redis'), REDIS_IMAGE)
  const context = join(BUILD_DIR, 'context')
  const built = `${SKEIN_REPOSITORY}:built`
  await docker(node, [
    'build',
    '--build-arg',
    `BASE=${BASE_IMAGE}`,
    '-t',
    built,
    '-f',
    join(context, 'deploy/Dockerfile'),
    context,
  ])
  await docker(node, ['build', '--build-arg', `BASE=${built}`, '-t', BACKEND_IMAGE, join(import.meta.dirname, 'backend')])
  const [id = '', size = ''] = (await docker(node, ['image', 'inspect', '--format', '{{.Id}} {{.Size}}', built]))
    .trim()
    .split(' ')
  if (!(Number(size) < IMAGE_LIMIT_BYTES)) throw new Error(`Skein's image has ${size} bytes; the limit is ${IMAGE_LIMIT_BYTES}`)
  // The tag depends on the content, so that Swarm rolls a service only if its image changed.
  const image = `${SKEIN_REPOSITORY}:${id.replace('sha256:', '').slice(0, 12)}`
  await docker(node, ['tag', built, image])
  writeFileSync(IMAGE_FILE, image)
}

/** The name of Skein's image that was built last. */
export function skeinImage(): string {
  return readFileSync(IMAGE_FILE, 'utf8')
}

/** Copies the images to the other nodes. */
export async function carryImages(from: LabNode, to: readonly LabNode[]): Promise<void> {
  const archive = join(BUILD_DIR, 'images.tar')
  await docker(from, ['save', '-o', archive, skeinImage(), BACKEND_IMAGE, REDIS_IMAGE])
  await eachOf(to, 2, async node => {
    await docker(node, ['load', '-q', '-i', archive])
  })
  rmSync(archive)
}
