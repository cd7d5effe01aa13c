// The lab's images, made without a registry or a network: a base imported from a root file system (this machine's Node and its libraries), on it
// Skein's own Dockerfile, on that the backend. Built on one node, then carried to the others.

import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { writeRootfs } from '../../deploy/rootfs.ts'
import { eachOf, run } from './command.ts'
import { docker } from './docker.ts'
import { LAB_DIR, type LabNode } from './topology.ts'

export const SKEIN_IMAGE = 'skein:lab'
export const BACKEND_IMAGE = 'skein-lab-backend:1'
const BASE_IMAGE = 'skein-lab-base:1'

const CHECKOUT = join(import.meta.dirname, '../..')
const BUILD_DIR = join(LAB_DIR, 'build')
/** The limit for Skein's image. */
const IMAGE_LIMIT_BYTES = 250e6

/** The base's files and the build's context; needs no engine, so it can be made while the engines start. */
export async function prepareImages(): Promise<void> {
  rmSync(BUILD_DIR, { recursive: true, force: true })
  mkdirSync(BUILD_DIR, { recursive: true })
  writeRootfs(join(BUILD_DIR, 'base'))
  const context = join(BUILD_DIR, 'context')
  cpSync(join(CHECKOUT, 'deploy'), join(context, 'deploy'), { recursive: true })
  await run(process.execPath, [join(CHECKOUT, 'deploy/build.ts')], { cwd: CHECKOUT })
  cpSync(join(CHECKOUT, 'dist/image'), join(context, 'dist/image'), { recursive: true })
}

/** Builds all images on one node. @throws when Skein's image is larger than promised */
export async function buildImages(node: LabNode): Promise<void> {
  await run('sh', [
    '-c',
    'tar -C "$1" -c . | docker -H "$2" import - "$3"',
    'sh',
    join(BUILD_DIR, 'base'),
    `unix://${node.socket}`,
    BASE_IMAGE,
  ])
  await buildSkein(node)
  await docker(node, ['build', '--build-arg', `BASE=${SKEIN_IMAGE}`, '-t', BACKEND_IMAGE, join(import.meta.dirname, 'backend')])
  const size = Number(await docker(node, ['image', 'inspect', '--format', '{{.Size}}', SKEIN_IMAGE]))
  if (!(size < IMAGE_LIMIT_BYTES)) throw new Error(`Skein's image has ${size} bytes; the limit is ${IMAGE_LIMIT_BYTES}`)
}

async function buildSkein(node: LabNode): Promise<void> {
  const context = join(BUILD_DIR, 'context')
  await docker(node, [
    'build',
    '--build-arg',
    `BASE=${BASE_IMAGE}`,
    '-t',
    SKEIN_IMAGE,
    '-f',
    join(context, 'deploy/Dockerfile'),
    context,
  ])
}

/** Carries the images to the other nodes. */
export async function carryImages(from: LabNode, to: readonly LabNode[]): Promise<void> {
  const archive = join(BUILD_DIR, 'images.tar')
  await docker(from, ['save', '-o', archive, SKEIN_IMAGE, BACKEND_IMAGE])
  await eachOf(to, 2, async node => {
    await docker(node, ['load', '-q', '-i', archive])
  })
  rmSync(archive)
}

/** True when this checkout can be built at all. */
export function canBuild(): boolean {
  return existsSync(join(CHECKOUT, 'deploy/build.ts'))
}
