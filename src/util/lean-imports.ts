// Imports of modules that cost memory which most replicas never need. As an ES module, node:http evaluates all its exports,
// including a whole fetch and WebSocket client (15 MB); as a builtin it does not. The other modules are loaded on first use.

import { createRequire, Module } from 'node:module'
import type Dockerode from 'dockerode'

const http = process.getBuiltinModule('node:http')

/** `createServer`, `request` and `Agent` of node:http. */
export const createHttpServer = http.createServer
export const httpRequest = http.request
export const HttpAgent = http.Agent

const require = createRequire(import.meta.url)

export function loadYaml(): typeof import('yaml') {
  return require('yaml') as typeof import('yaml')
}

export function loadToml(): typeof import('smol-toml') {
  return require('smol-toml') as typeof import('smol-toml')
}

export function loadPretty(): typeof import('pino-pretty') {
  return require('pino-pretty') as typeof import('pino-pretty')
}

export function loadRe2(): typeof import('re2js') {
  return require('re2js') as typeof import('re2js')
}

export function loadOpossum(): typeof import('opossum') {
  return require('opossum') as typeof import('opossum')
}

/**
 * Packages that dockerode loads for building images, build sessions and SSH. Skein only reads over its own transport. With them
 * dockerode takes about four times as long to load and 17 MB more memory.
 */
const UNUSED_BY_SKEIN = ['ssh2', '@grpc/grpc-js', '@grpc/proto-loader', 'protobufjs', 'tar-fs', '@balena/dockerignore'] as const

let dockerode: typeof Dockerode | undefined

/** dockerode, without the packages of UNUSED_BY_SKEIN: they are empty objects to it. */
export function loadDockerode(): typeof Dockerode {
  if (dockerode !== undefined) return dockerode
  const stubs: string[] = []
  for (const name of UNUSED_BY_SKEIN) {
    const path = resolveOrNull(name)
    if (path === null || require.cache[path] !== undefined) continue
    const stub = new Module(path)
    stub.loaded = true
    require.cache[path] = stub
    stubs.push(path)
  }
  try {
    dockerode = require('dockerode') as typeof Dockerode
  } finally {
    // Code that needs one of them later gets the real one.
    for (const path of stubs) delete require.cache[path]
  }
  return dockerode
}

function resolveOrNull(name: string): string | null {
  try {
    return require.resolve(name)
  } catch {
    return null
  }
}
