// Discovery: names with many addresses, without an answer, with a constant address, and with a hanging or broken resolver.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { deduplicate, expand, watchPeers } from '../../../../cluster/gossip/discovery.ts'
import type { ClusterLog } from '../../../../cluster/log.ts'

function recorder(): { log: ClusterLog; lines: string[] } {
  const lines: string[] = []
  const at =
    (level: string) =>
    (_: unknown, message: string): void =>
      void lines.push(`${level}: ${message}`)
  return { log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }, lines }
}

test('static addresses are reported at once, names when known, and only changes after that', async () => {
  const found: string[][] = []
  let answer = ['10.0.0.2', '10.0.0.1', '10.0.0.2', '::5']
  const peers = [
    { host: '192.0.2.1', port: 1 },
    { host: 'tasks.edge', port: 7 },
  ]
  const watch = watchPeers(
    peers,
    async () => answer,
    list => void found.push([...list]),
    recorder().log,
  )
  assert.equal(found, [['192.0.2.1:1']])
  await watch.refresh()
  await watch.refresh()
  answer = ['10.0.0.3']
  await watch.refresh()
  watch.stop()
  assert.equal(found.slice(1), [
    ['10.0.0.1:7', '10.0.0.2:7', '192.0.2.1:1', '[::5]:7'],
    ['10.0.0.3:7', '192.0.2.1:1'],
  ])
})

test('a name whose resolver hangs delays no other name', async () => {
  const found: string[][] = []
  let answer = ['10.0.0.1']
  const asked: string[] = []
  const reported = Promise.withResolvers<void>()
  const watch = watchPeers(
    ['tasks.hangs', 'tasks.edge'].map(host => ({ host, port: 7 })),
    host => {
      asked.push(host)
      return host === 'tasks.hangs' ? new Promise<never>(() => {}) : Promise.resolve(answer)
    },
    list => {
      found.push([...list])
      if (list.length > 0) reported.resolve()
    },
    recorder().log,
  )
  await reported.promise
  assert.equal(found, [[], ['10.0.0.1:7']])
  answer = ['10.0.0.2']
  await new Promise(resolve => setImmediate(resolve))
  void watch.refresh()
  await new Promise(resolve => setImmediate(resolve))
  watch.stop()
  assert.equal(found.slice(2), [['10.0.0.2:7']])
  assert.equal(asked, ['tasks.hangs', 'tasks.edge', 'tasks.edge'], 'no second query for a name without an answer')
})

test('a name that fails keeps its last answer; failure and recovery are logged once', async () => {
  const { log, lines } = recorder()
  const found: string[][] = []
  let answer: () => Promise<readonly string[]> = async () => ['10.0.0.1']
  const watch = watchPeers(
    [{ host: 'tasks.edge', port: 7 }],
    () => answer(),
    list => void found.push([...list]),
    log,
  )
  await watch.refresh()
  for (const bad of [async () => [], async () => ['nonsense'], () => Promise.reject(new Error('SERVFAIL'))]) {
    answer = bad
    await watch.refresh()
  }
  answer = async () => ['10.0.0.1']
  await watch.refresh()
  watch.stop()
  assert.equal(found, [[], ['10.0.0.1:7']])
  assert.equal(lines, [
    'warn: the peer name tasks.edge cannot be looked up; using its last addresses',
    'info: the peer name tasks.edge can be looked up again',
  ])
})

test('lookups never overlap, and nothing is reported after stop', async () => {
  let under = 0
  let most = 0
  const found: unknown[] = []
  const slow = async (): Promise<readonly string[]> => {
    most = Math.max(most, ++under)
    await new Promise(resolve => setTimeout(resolve, 20))
    under--
    return ['10.0.0.9']
  }
  const watch = watchPeers([{ host: 'tasks.edge', port: 7 }], slow, list => void found.push(list), recorder().log)
  const all = [watch.refresh(), watch.refresh(), watch.refresh()]
  watch.stop()
  await Promise.all(all)
  assert.is(most, 1)
  assert.equal(found, [[]])
})

test('concurrent lookups of a name share one query; later ones query again', async () => {
  const answers: ((addresses: readonly string[]) => void)[] = []
  const ask = deduplicate(() => new Promise(resolve => answers.push(resolve)))
  const both = Promise.all([ask('tasks.edge'), ask('tasks.edge')])
  const other = ask('tasks.other')
  assert.is(answers.length, 2)
  answers[0]?.(['10.0.0.1'])
  answers[1]?.(['10.0.0.2'])
  assert.equal(await both, [['10.0.0.1'], ['10.0.0.1']])
  assert.equal(await other, ['10.0.0.2'])
  const again = ask('tasks.edge')
  assert.is(answers.length, 3)
  answers[2]?.(['10.0.0.3'])
  assert.equal(await again, ['10.0.0.3'])
})

test('a failed query is not shared with later lookups', async () => {
  let asked = 0
  const ask = deduplicate(() => Promise.reject(new Error(`${++asked}`)))
  for (const message of ['1', '2']) {
    await ask('tasks.edge').then(
      () => assert.unreachable(),
      (error: Error) => assert.is(error.message, message),
    )
  }
})

test('the number of addresses is bounded by the number of members', () => {
  const many = Array.from({ length: 1000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`)
  assert.is(expand([{ host: 'tasks.edge', port: 7 }], new Map([['tasks.edge', many]])).length, 256)
})

test.run()
