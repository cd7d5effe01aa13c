// Resolution of DNS names: each address is an endpoint, a failing lookup keeps the last answer.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { formatEndpoint } from '../../../../src/providers/docker-api/endpoint.ts'
import { expandSeeds, type SeedEndpoint, watchSeeds } from '../../../../src/providers/swarm/endpoint-addresses.ts'

const SEEDS = [
  { scheme: 'agent', host: 'tasks.managers', port: 7999 },
  { scheme: 'tcp', host: '10.0.0.9', port: 2375 },
  { scheme: 'unix', path: '/var/run/docker.sock' },
] as const
const texts = (list: readonly SeedEndpoint[] | undefined) =>
  list?.map(({ endpoint, origin }) => `${origin} ${formatEndpoint(endpoint)}`)

test('a name with several addresses counts as several endpoints', () => {
  const list = expandSeeds(SEEDS, new Map([['tasks.managers', ['10.0.1.3', 'FD00::3']]]))
  assert.equal(texts(list), [
    'dns agent://10.0.1.3:7999',
    'dns agent://[fd00::3]:7999',
    'option tcp://10.0.0.9:2375',
    'option unix:///var/run/docker.sock',
  ])
  assert.is(list[0]?.serverName, 'tasks.managers')
})

test('a failing lookup keeps the last answer and is reported once', async () => {
  const found: (readonly SeedEndpoint[])[] = []
  const told: (string | null)[] = []
  let answer: string[] | null = ['10.0.1.3', '10.0.1.4']
  const watch = watchSeeds(
    SEEDS,
    async () => {
      if (answer === null) throw new Error('EAI_AGAIN')
      return answer
    },
    list => found.push(list),
    (_host, message) => told.push(message),
  )
  await watch.refresh()
  assert.is(found.length, 2, 'what needs no lookup is known at once')
  assert.is(found[1]?.length, 4)
  answer = null
  await watch.refresh()
  await watch.refresh()
  assert.is(found.length, 2)
  assert.equal(told, ['EAI_AGAIN'])
  answer = ['10.0.1.4']
  await watch.refresh()
  assert.equal(texts(found[2])?.[0], 'dns agent://10.0.1.4:7999')
  assert.equal(told, ['EAI_AGAIN', null])
  watch.stop()
})

test('a name whose lookup hangs does not delay the endpoints of the others', async () => {
  const found: (readonly SeedEndpoint[])[] = []
  const told = Promise.withResolvers<void>()
  const watch = watchSeeds(
    [
      { scheme: 'agent', host: 'tasks.hangs', port: 7999 },
      { scheme: 'agent', host: 'tasks.managers', port: 7999 },
    ],
    host => (host === 'tasks.hangs' ? new Promise<never>(() => {}) : Promise.resolve(['10.0.1.3'])),
    list => {
      found.push(list)
      if (list.length > 0) told.resolve()
    },
    () => undefined,
  )
  void watch.refresh()
  await told.promise
  watch.stop()
  assert.equal(found.map(texts), [[], ['dns agent://10.0.1.3:7999']])
})

test.run()
