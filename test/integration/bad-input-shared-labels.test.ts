// Wrong, absurd or hostile labels of sessions, breakers and ejection on a running replica: each is reported with the expected
// value and disables only that feature of its service; a breaker that never closes keeps probing and affects no other service.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { ask, LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { closeManagers, ScriptedManager, type ServiceSketch } from './scripted-manager.ts'
import { endAll, Replica } from './skein-process.ts'

const EXPRESSION = 'traefik.backend.circuitbreaker.expression'
const backends = await LoopbackTasks.start(2)
const manager = await ScriptedManager.start()
const replica = await Replica.start(['--manager', manager.endpoint, '--domain', 'test'])

test.after(async () => {
  const { code, err } = await replica.stop()
  endAll()
  closeManagers()
  stopTasks()
  assert.is(code, 0, err)
  assert.not.match(replica.out, /"level":"(?:error|fatal)"[^\n]*(?:TypeError|RangeError|at file:)/)
})

function service(name: string, labels: Readonly<Record<string, string>>): ServiceSketch {
  return { name, labels: { 'traefik.port': String(backends.port), ...labels }, tasks: backends.tasks }
}

const deep = (depth: number): string => `${'('.repeat(depth)}NetworkErrorRatio() > 0.5${')'.repeat(depth)}`

const WRONG: readonly (readonly [name: string, label: string, value: string])[] = [
  ['empty', EXPRESSION, '()'],
  ['words', EXPRESSION, 'when it is broken'],
  ['unknown', EXPRESSION, 'RequestRatio() > 1'],
  ['half', EXPRESSION, 'NetworkErrorRatio() >'],
  ['nested', EXPRESSION, deep(500)],
  ['negated', EXPRESSION, `${'!'.repeat(900)}(NetworkErrorRatio() > 0.5)`],
  ['long', EXPRESSION, Array.from({ length: 400 }, () => 'NetworkErrorRatio() > 0.5').join(' || ')],
  ['script', EXPRESSION, 'process.exit(1)'],
  ['infinite', EXPRESSION, 'NetworkErrorRatio() > 1e999'],
  ['quantile', EXPRESSION, 'LatencyAtQuantileMS(900.0) > 1'],
  ['codes', EXPRESSION, 'ResponseCodeRatio(1, 2, 3) > 1'],
  ['control', EXPRESSION, 'NetworkErrorRatio()\u001b[31m > 0.5'],
  ['never', 'skein.breaker.open', '-1s'],
  ['eternal', 'skein.breaker.recovery', '900000h'],
  ['fewest', 'skein.breaker.minRequests', '0'],
  ['learned', 'skein.sticky.learn', 'cookie:'],
  ['mind', 'skein.sticky.learn', 'telepathy'],
  ['spaced', 'skein.sticky.learn', 'header:X Session'],
  ['tiny', 'skein.sticky.size', '-5'],
  ['huge', 'skein.sticky.size', '1000000000000'],
  ['short', 'skein.sticky.ttl', '1ms'],
  ['maybe', 'skein.sticky.drain', 'perhaps'],
  ['outlier', 'skein.outlier.errors', 'many'],
]

test('each wrong label is reported with the expected value; its service is served', async () => {
  manager.set(
    ...WRONG.map(([name, label, value]) => {
      const needs = label.startsWith('skein.breaker') ? { [EXPRESSION]: 'NetworkErrorRatio() > 0.5' } : {}
      const learns = label.startsWith('skein.sticky') && label !== 'skein.sticky.learn' ? { 'skein.sticky.learn': 'ip' } : {}
      return service(name, { ...needs, ...learns, [label]: value })
    }),
  )
  for (const [name, label] of WRONG) {
    await replica.answers(`${name}.test`, 200)
    const { errors } = await replica.api('snapshot')
    const told = errors.find(error => error.source === name && error.key === label)
    assert.ok(
      told !== undefined,
      `nothing is said of ${label} of ${name}: ${JSON.stringify(errors.filter(e => e.source === name))}`,
    )
    assert.match(told.message, /^expected /, name)
  }
  const { errors } = await replica.api('snapshot')
  assert.is(errors.length, WRONG.length, JSON.stringify(errors.filter(({ source }) => WRONG.every(([name]) => name !== source))))
})

test('ratios without traffic open nothing', async () => {
  const quiet = [
    'ResponseCodeRatio(500, 600, 0, 600) >= 0',
    'NetworkErrorRatio() >= 0',
    'LatencyAtQuantileMS(50.0) >= 0',
    'ResponseCodeRatio(0, 1, 0, 0) == 0',
    '!(NetworkErrorRatio() > 0.5)',
  ]
  manager.set(...quiet.map((expression, i) => service(`quiet${i}`, { [EXPRESSION]: expression })))
  for (const i of quiet.keys()) await replica.answers(`quiet${i}.test`, 200)
  await new Promise(resolve => setTimeout(resolve, 3000))
  const reports = await replica.api('breakers')
  assert.is(reports.length, quiet.length)
  for (const { service: name, state, now } of reports) {
    assert.is(state, 'closed', name)
    for (const figure of Object.values(now)) assert.ok(Number.isFinite(figure), `${name}: ${JSON.stringify(now)}`)
  }
  for (const i of quiet.keys()) assert.is((await replica.get(`quiet${i}.test`)).status, 200)
})

test('a breaker that never closes keeps probing and affects no other service', async () => {
  const settings = { 'skein.breaker.minRequests': '5', 'skein.breaker.open': '500ms', 'skein.breaker.recovery': '500ms' }
  manager.set(service('always', { [EXPRESSION]: 'NetworkErrorRatio() >= 0', ...settings }), service('other', {}))
  await replica.answers('always.test', 200)
  await replica.answers('other.test', 200)
  const statuses = { served: 0, refused: 0 }
  // Each probe succeeds but fails by the expression: half-open, too short for every look to see it, then open again.
  const openings = new Set<number>()
  const end = performance.now() + 60_000
  while (performance.now() < end && (openings.size < 3 || statuses.refused === 0 || statuses.served <= 5)) {
    const answer = await ask(replica.web, 'always.test')
    if (answer.status === 200) statuses.served++
    else {
      assert.is(answer.status, 503)
      assert.match(answer.retryAfter ?? '', /^[1-9]\d*$/)
      statuses.refused++
    }
    assert.is((await ask(replica.web, 'other.test')).status, 200)
    const [report] = await replica.api('breakers')
    if (report?.state === 'open') openings.add(report.at)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  assert.ok(openings.size >= 3, `it opened ${openings.size} times: ${JSON.stringify(statuses)}`)
  assert.ok(statuses.refused > 0 && statuses.served > 5, JSON.stringify(statuses))
  // Workers report periodically.
  const told = async (): Promise<boolean> => {
    const [report] = await replica.api('breakers')
    return (report?.opened ?? 0) >= 1 && report?.refusedRequests === statuses.refused
  }
  await until(`${statuses.refused} refused requests are reported`, told, 60_000, { everyMs: 50 })
})

test.run()
