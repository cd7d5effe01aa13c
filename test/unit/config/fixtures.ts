// A small valid configuration for tests to modify.

import type { DynamicConfig, Router, Service } from '../../../src/config/model.ts'

export function service(name: string, more: Partial<Service> = {}): Service {
  return {
    name,
    servers: [{ id: `${name}.1:80`, scheme: 'http', host: '10.0.0.1', port: 80, weight: 1, state: 'active', node: 'n1' }],
    balancer: 'wrr',
    sticky: null,
    learn: null,
    breaker: null,
    outliers: { errors: 0 },
    healthCheck: null,
    maxConn: null,
    timeouts: { responseHeaderMs: null, stallMs: null },
    provider: 'swarm',
    source: name,
    ...more,
  }
}

export function router(name: string, more: Partial<Router> = {}): Router {
  return {
    name,
    entryPoints: [],
    rule: `Host:${name}.test`,
    matcher: { kind: 'host', hosts: [`${name}.test`] },
    priority: 10,
    service: name,
    middlewares: [],
    passHostHeader: true,
    provider: 'swarm',
    source: name,
    ...more,
  }
}

export function config(names: readonly string[], more: Partial<DynamicConfig> = {}): DynamicConfig {
  return {
    routers: Object.fromEntries(names.map(n => [n, router(n)])),
    services: Object.fromEntries(names.map(n => [n, service(n)])),
    middlewares: {},
    errors: [],
    ...more,
  }
}
