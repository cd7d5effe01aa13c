// Three replicas, one clock 400 days ahead, another 400 days behind, while a service is updated: sessions leave a server only
// when it is removed, and status and log name both clocks.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../free-port.ts'
import { ClusteredReplica } from './clustered-replica.ts'
import { ask, LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { replace } from './services-files.ts'
import { endAll, ownDirectory, skein } from './skein-process.ts'

const DAYS = 400
const SESSIONS = 30
const names = ['ahead', 'behind', 'right'] as const
const offDays = { ahead: DAYS, behind: -DAYS, right: 0 }

/** Preloaded by node in every thread. */
function clockOff(days: number): Record<string, string> {
  const code = `const now = Date.now; Date.now = () => now() + ${days * 86_400_000}`
  return days === 0 ? {} : { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` }
}

const tasks = await LoopbackTasks.start(6)
/** The service with these tasks. A task keeps its name, and so its id, whatever their number. */
function serviceOf(which: readonly number[]): string {
  const servers = which.map(n => `[backends.cart.servers.s${n}]\n  url = "http://${tasks.addresses[n]}:${tasks.port}"`)
  const sticky = '[backends.cart.skein.sticky]\n  learn = "cookie:sid"'
  return `${servers.join('\n')}\n${sticky}\n[frontends.cart]\n  backend = "cart"\n  [frontends.cart.routes.host]\n  rule = "Host:cart.test"\n`
}

const files = names.map(() => join(ownDirectory(), 'services.toml'))

test.after(() => {
  endAll()
  stopTasks()
})

test('clocks 400 days ahead and behind: sessions move only when their server is removed', async () => {
  for (const file of files) writeFileSync(file, serviceOf([0, 1, 2, 3]))
  const ports = await Promise.all(names.map(() => freePort()))
  const members = await Promise.all(
    names.map((name, n) =>
      ClusteredReplica.start({
        name,
        port: ports[n]!,
        peers: ports.map(port => `127.0.0.1:${port}`),
        more: ['--services-file', files[n]!],
        env: clockOff(offDays[name]),
      }),
    ),
  )
  for (const member of members) {
    await member.agreesWith(3)
    await member.replica.answers('cart.test', 200)
  }
  const where = new Map<number, string>()
  let breaks = 0
  const use = async (session: number, turn: number, present: readonly number[]): Promise<void> => {
    const answer = await ask(members[(session + turn) % 3]!.replica.web, 'cart.test', { cookie: `sid=session-${session}` })
    assert.is(answer.status, 200)
    const before = where.get(session)
    if (before !== undefined && before !== answer.body && present.some(n => tasks.addresses[n] === before)) breaks++
    where.set(session, answer.body)
  }
  const all = async (turns: number, present: readonly number[]): Promise<void> => {
    for (let turn = 0; turn < turns; turn++)
      await Promise.all(Array.from({ length: SESSIONS }, (_, session) => use(session, turn, present)))
  }
  await all(6, [0, 1, 2, 3])
  assert.is(new Set(where.values()).size, 4)

  let present: readonly number[] = [0, 1, 2, 3]
  // One task after the other is replaced.
  for (const next of [
    [0, 1, 2, 3, 4],
    [1, 2, 3, 4],
    [1, 2, 3, 4, 5],
    [2, 3, 4, 5],
  ]) {
    for (const file of files) replace(file, serviceOf(next))
    const served = async () => {
      const pages = await Promise.all(members.map(({ replica }) => replica.api('snapshot')))
      return pages.every(page => page.services.cart?.servers.length === next.length)
    }
    const stay = present.filter(n => next.includes(n))
    while (!(await served())) await all(1, stay)
    present = next
    await all(6, stay)
  }
  assert.is(breaks, 0)

  for (const member of members) {
    const { members: seen } = await member.status()
    const off = Object.fromEntries(seen.map(({ name, clockOffMs }) => [name, Math.round((clockOffMs ?? 0) / 86_400_000)]))
    assert.equal(off, offDays, member.name)
    await member.replica.logs(/ahead: its clock is 400 days ahead of the cluster's/)
    await member.replica.logs(/behind: its clock is 400 days behind the cluster's/)
  }
  const { out } = await skein(['status', '--admin', `127.0.0.1:${members[2]!.replica.admin}`])
  assert.match(out, /the clock of ahead is 400 days ahead of the cluster's: set it/)
  assert.match(out, /the clock of behind is 400 days behind the cluster's: set it/)
})

test('two replicas, one 400 days behind: status and log name both, and call neither wrong', async () => {
  const ports = await Promise.all([0, 1].map(() => freePort()))
  const members = await Promise.all(
    ['first', 'second'].map((name, n) =>
      ClusteredReplica.start({
        name,
        port: ports[n]!,
        peers: ports.map(port => `127.0.0.1:${port}`),
        more: ['--services-file', files[0]!],
        env: clockOff(n * -DAYS),
      }),
    ),
  )
  for (const member of members) await member.agreesWith(2)
  for (const { replica } of members) {
    const { msg } = await replica.logs(
      /clocks of (?:first and second|second and first) differ by 400 days; two clocks do not show which/,
    )
    assert.not.match(replica.out, /its clock is 400 days/, msg)
    const { out } = await skein(['status', '--admin', `127.0.0.1:${replica.admin}`])
    assert.match(out, /the clocks of (?:first and second|second and first) differ by 400 days; .*: check both/)
    assert.not.match(out, /the clock of/)
  }
})

test.run()
