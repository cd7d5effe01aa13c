import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { classifyLabel, isNewerTraefikLabel, splitSegment, suggestLabel } from '../../../../src/labels/traefik-v1/label-names.ts'

test('segments', () => {
  for (const [label, segment, name] of [
    ['port', '', 'port'],
    ['frontend.rule', '', 'frontend.rule'],
    ['backend.healthcheck.port', '', 'backend.healthcheck.port'],
    ['docker.network', '', 'docker.network'],
    ['api.port', 'api', 'port'],
    ['api.frontend.rule', 'api', 'frontend.rule'],
    ['api.backend', 'api', 'backend'],
    ['api.backend.healthcheck.port', 'api', 'backend.healthcheck.port'],
    ['my.api.weight', 'my.api', 'weight'],
    ['http.port', 'http', 'port'],
    ['api.domain', '', 'api.domain'],
  ] as const) {
    assert.equal(splitSegment(label), { segment, name }, label)
  }
})

test('kinds', () => {
  for (const [name, inSegment, kind] of [
    ['port', false, 'known'],
    ['port', true, 'known'],
    ['enable', false, 'known'],
    ['enable', true, 'unknown'],
    ['frontend.auth.basic', false, 'guard'],
    ['frontend.auth.forward.address', true, 'guard'],
    ['frontend.whitelistSourceRange', false, 'guard'],
    ['frontend.whiteList.sourceRange', false, 'guard'],
    ['frontend.authors', false, 'unknown'],
    ['frontend.rateLimit.extractorFunc', false, 'later'],
    ['backend.circuitbreaker.expression', false, 'known'],
    ['backend.circuitbreaker.expression', true, 'known'],
    ['frontend.rul', false, 'unknown'],
  ] as const) {
    assert.is(classifyLabel(name, inSegment), kind, name)
  }
})

test('labels of newer versions', () => {
  for (const name of [
    'http.routers.a.rule',
    'HTTP.Services.a.loadBalancer.server.port',
    'tcp.routers.a.rule',
    'udp.services.x',
    'tls.stores.default',
    'swarm.network',
  ]) {
    assert.ok(isNewerTraefikLabel(name), name)
  }
  for (const name of ['port', 'http.port', 'http.frontend.rule', 'docker.network']) assert.not.ok(isNewerTraefikLabel(name), name)
})

test('suggestions for labels in the wrong case', () => {
  assert.is(suggestLabel('frontend.entrypoints'), 'frontend.entryPoints')
  assert.is(suggestLabel('nope'), null)
})

test.run()
