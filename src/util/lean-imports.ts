// Modules whose import costs memory that most replicas never need. node:http as an ES module evaluates all that it exports, a
// whole fetch and WebSocket client with it (15 MB); taken as a builtin it does not. The others are loaded when somebody asks for
// them.

import { createRequire } from 'node:module'

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
