// The pool of managers as nodes are promoted and demoted: which managers are known, stored and logged. manager-selection.ts and
// roster.ts decide which one is used; swarm-provider.test.ts covers dying managers.

import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type DockerNode, nodeSchema } from '../../../../src/providers/docker-api/schemas.ts'
import type { LearnedManager } from '../../../../src/providers/swarm/learned-managers.ts'
import { createManagerPool, type ManagerPool } from '../../../../src/providers/swarm/managers.ts'
import { fakeDocker } from './fake-docker.ts'
import { rawManager, rawNode } from './objects.ts'

const node = (raw: object): DockerNode => nodeSchema.parse(raw)
const [a, b, c] = ['1', '2', '3'].map(n => node(rawManager(`n${n}`, `m${n}`, `192.0.2.${n}`))) as [
  DockerNode,
  DockerNode,
  DockerNode,
]
const worker = node(rawNode('n9', 'w9'))

interface Rig {
  readonly pool: ManagerPool
  readonly saved: (readonly LearnedManager[])[]
  readonly said: string[]
}

async function withPool(learn: boolean, work: (rig: Rig) => Promise<void>): Promise<void> {
  const manager = await fakeDocker({})
  const saved: (readonly LearnedManager[])[] = []
  const said: string[] = []
  const log = pino({}, { write: (line: string) => void said.push(`${JSON.parse(line).msg} ${JSON.parse(line).manager}`) })
  const store = { load: async () => [], save: async (managers: readonly LearnedManager[]) => void saved.push(managers) }
  const pool = createManagerPool(
    {
      seeds: [{ scheme: 'tcp', host: '127.0.0.1', port: manager.port }],
      tls: null,
      agentKey: null,
      learn,
      callTimeoutMs: 500,
      answerBytes: 1024,
      store,
      lookup: async () => [],
      log,
      members: () => null,
      changed: () => {},
      listening: () => false,
      reportHealth: () => {},
    },
    'replica-1',
  )
  await pool.start()
  try {
    await work({ pool, saved, said })
  } finally {
    await pool.stop()
    await manager.close()
  }
}

const learned = (pool: ManagerPool): string[] =>
  pool
    .status()
    .filter(({ origin }) => origin === 'learned')
    .map(({ endpoint, hostname }) => `${hostname} ${endpoint.replace(/:\d+$/, '')}`)

test('a promoted node is learned, a demoted one removed; both are stored and logged', () =>
  withPool(true, async ({ pool, saved, said }) => {
    pool.observe([a, b, worker])
    assert.equal(learned(pool), ['m1 tcp://192.0.2.1', 'm2 tcp://192.0.2.2'])
    pool.observe([a, b, worker])
    assert.is(saved.length, 1, 'what has not changed is not written again')
    const promoted = node(rawManager('n9', 'w9', '192.0.2.9'))
    pool.observe([a, node(rawNode('n2', 'm2')), promoted])
    assert.equal(learned(pool), ['m1 tcp://192.0.2.1', 'w9 tcp://192.0.2.9'])
    assert.equal(
      saved.at(-1)?.map(({ nodeId }) => nodeId),
      ['n1', 'n9'],
    )
    const told = said.filter(line => /learned|no longer/.test(line)).map(line => line.replace(/:\d+$/, ''))
    assert.equal(told, [
      'learned a manager tcp://192.0.2.1',
      'learned a manager tcp://192.0.2.2',
      'learned a manager tcp://192.0.2.9',
      'this node is no longer a manager tcp://192.0.2.2',
    ])
  }))

test('an answer without a manager is ignored; the seeds always stay', () =>
  withPool(true, async ({ pool }) => {
    pool.observe([a, b, c])
    pool.observe([worker])
    assert.is(learned(pool).length, 3)
    assert.is(pool.status().filter(({ origin }) => origin === 'option').length, 1)
  }))

test('nothing is learned when learning is off', () =>
  withPool(false, async ({ pool, saved }) => {
    pool.observe([a, b, c])
    assert.equal(learned(pool), [])
    assert.equal(saved, [])
  }))

test.run()
