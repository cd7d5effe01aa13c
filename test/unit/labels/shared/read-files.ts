// Reads services files for tests; the result must be a valid snapshot.

import { parse as parseToml } from 'smol-toml'
import * as assert from 'uvu/assert'
import { mergeConfigs, snapshotOf } from '../../../../src/config/merge.ts'
import type { ConfigError, DynamicConfig } from '../../../../src/config/model.ts'
import { parseSnapshot } from '../../../../src/config/schema.ts'
import { type ParsedFile, readTraefikV1Files } from '../../../../src/labels/traefik-v1/file.ts'

/** Reads files, and checks that the result is a valid snapshot, as it is and merged. */
export function readFiles(...files: ParsedFile[]): DynamicConfig {
  const config = readTraefikV1Files(files)
  for (const one of [config, mergeConfigs([config])]) {
    const result = parseSnapshot(structuredClone(snapshotOf(one, { term: 0, leader: '', sequence: 1 })))
    assert.is(result.ok ? '' : result.message, '')
  }
  for (const { source, provider } of [...Object.values(config.routers), ...Object.values(config.services), ...config.errors]) {
    assert.is(provider, 'file')
    assert.ok(files.some(file => file.path === source) || files.some(file => file.path.length > 200))
  }
  return config
}

export function toml(text: string): DynamicConfig {
  return readFiles({ path: 'a.toml', content: parseToml(text) })
}

export function json(content: unknown): DynamicConfig {
  return readFiles({ path: 'a.json', content })
}

export function brief(errors: readonly ConfigError[]): string[] {
  return errors.map(e => `${e.severity} ${e.key}=${e.value}`)
}

/** `severity key: message`, the message without its consequence. */
export function told(config: DynamicConfig): string[] {
  return config.errors.map(e => `${e.severity} ${e.key}: ${e.message}`)
}

export const SERVERS = { one: { url: 'http://10.0.0.1:80' } }

/** A file with one backend and one frontend that leads to it. */
export function oneOf(backend: object, frontend: object = {}): DynamicConfig {
  return json({
    backends: { app: { servers: SERVERS, ...backend } },
    frontends: { web: { backend: 'app', routes: { r: { rule: 'Host:a.test' } }, ...frontend } },
  })
}
