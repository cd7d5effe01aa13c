// The secret state between real members on the loopback: every member holds what the leader writes, any one disk restores it
// after a full restart, and it survives a rotation of the cluster secret. Nothing of a value appears in clear on disk or in logs.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { endAll, leaderOf, startMember, type TestMember, together } from './cluster-harness.ts'

const MARK = 'PRIVATE-KEY-IN-CLEAR'
const LARGE = Buffer.alloc(1024 * 1024, MARK)

const parent = mkdtempSync(join(tmpdir(), 'skein-secrets-'))
const directory = (name: string): string => join(parent, name)

const holds = (member: TestMember, name: string, value: string | Buffer): boolean =>
  member.secrets.get(name)?.equals(Buffer.from(value)) ?? false

async function startThree(secrets: readonly string[]): Promise<TestMember[]> {
  const members: TestMember[] = []
  for (const name of ['a', 'b', 'c'])
    members.push(await startMember(name, members, { secretDirectory: directory(name), secrets }))
  await together(members)
  return members
}

const stopAll = (members: readonly TestMember[]) => Promise.all(members.map(member => member.stop()))

test.after(async () => {
  await endAll()
  rmSync(parent, { recursive: true, force: true })
})

test('a write of the leader reaches all members; others may not write; deletions count', async () => {
  const members = await startThree(['old'])
  const leader = leaderOf(members)
  const follower = members.find(member => member !== leader)!
  assert.equal(follower.secrets.put('n', Buffer.from('v')), { ok: false, reason: 'not leader' })
  assert.ok(leader.secrets.put('large', LARGE).ok)
  for (let i = 0; i < 50; i++) assert.ok(leader.secrets.put(`key ${i}`, Buffer.from(`${MARK} ${i}`)).ok)
  await until('all hold them', () => members.every(each => holds(each, 'large', LARGE) && holds(each, 'key 49', `${MARK} 49`)))
  assert.ok(leader.secrets.remove('key 7').ok)
  const names = leader.secrets.names()
  assert.is(names.length, 50)
  await until('all hold the same entries', () => members.every(each => each.secrets.names().join() === names.join()))
  await until('all is merged', () => members.every(({ secrets }) => secrets.status().synced))
  for (const { log } of members) assert.not.match(log.lines.join('\n'), MARK)
  assert.not.match(JSON.stringify(members.map(member => member.status())), MARK)
  await stopAll(members)
})

test('on disk there is one sealed file per record', () => {
  for (const name of ['a', 'b', 'c']) {
    const files = readdirSync(directory(name))
    assert.is(files.length, 51, 'entries and tombstones')
    for (const file of files) assert.is(readFileSync(join(directory(name), file)).indexOf(MARK), -1)
  }
})

test('a full restart of all members restores everything from any one disk', async () => {
  for (const name of ['a', 'b']) rmSync(directory(name), { recursive: true })
  const members = await startThree(['old'])
  await until('all hold everything', () =>
    members.every(each => holds(each, 'large', LARGE) && each.secrets.names().length === 50),
  )
  assert.ok(
    members.every(each => each.secrets.get('key 7') === null),
    'the deletion too',
  )
  await stopAll(members)
})

test('a rotation of the cluster secret in three steps keeps every entry readable', async () => {
  for (const secrets of [['old', 'new'], ['new', 'old'], ['new']]) {
    const members = await startThree(secrets)
    await until('no entry is left under another secret', () =>
      members.every(({ secrets }) => {
        const { outdated, unreadable, entries } = secrets.status()
        return outdated === 0 && unreadable === 0 && entries === 50
      }),
    )
    assert.ok(members.every(each => holds(each, 'large', LARGE) && holds(each, 'key 0', `${MARK} 0`)))
    await stopAll(members)
  }
})

test.run()
