// Membership: joining, suspicion, second opinion, refutation, names, bounds, and suspensions of this process.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { heartbeatInterval } from '../../../../cluster/core/membership.ts'
import { LIMITS, TIMING } from '../../../../cluster/core/state.ts'
import { effectsOf, LOCAL, leader, member, messages, warnings } from '../member.ts'

test('the heartbeat interval grows with the cluster and bounds the rate of received heartbeats', () => {
  for (const members of [1, 2, 3, 10, 16, 30, 100, 256]) {
    const received = ((members - 2) * 1000) / heartbeatInterval(members, TIMING) + 4
    assert.ok(received <= (members <= 16 ? 20 : members <= 100 ? 6.1 : 9), `${members} members: ${received}`)
    assert.ok(heartbeatInterval(members, TIMING) >= TIMING.heartbeatMs)
  }
  assert.is(heartbeatInterval(3, TIMING), 1000)
})

test('a leader sends four heartbeats a second, a follower one', () => {
  const beats = messages(leader().pass(2000), 'beat').filter(({ to }) => to === null)
  assert.is(beats.length, 8)
  assert.is(beats[0]?.message.nextMs, 250)
  const follower = member()
  const sent = messages(
    follower.pass(5000, () => follower.leads('a', 3)),
    'beat',
  ).filter(({ to }) => to === null)
  assert.ok(sent.length >= 5 && sent.length <= 6, `${sent.length}`)
})

test('three missed heartbeats: suspect; two more seconds: gone; another minute: forgotten', () => {
  const under = member()
  under.heartbeat('a', { nextMs: 400 })
  under.pass(1150)
  assert.is(under.stateOf('a'), 'alive')
  under.pass(100)
  assert.is(under.stateOf('a'), 'suspect')
  under.pass(1900)
  assert.is(under.stateOf('a'), 'suspect')
  const effects = under.pass(150)
  assert.is(under.stateOf('a'), 'gone')
  assert.equal(warnings(effects), ['a member is gone: no heartbeat arrived in time'])
  under.pass(61_000)
  assert.is(under.stateOf('a'), undefined)
})

test('in a large cluster a suspicion reported by a peer shortens the time to refute', () => {
  for (const answers of [true, false]) {
    const under = member()
    for (let i = 0; i < 20; i++) under.heartbeat(`p${i}`, { nextMs: 10_000 })
    under.heartbeat('p1', { nextMs: 10_000, suspects: ['p0'] })
    under.pass(1000)
    if (answers) under.heartbeat('p0', { nextMs: 10_000 })
    under.pass(1200)
    // The peer that reports it is the second opinion.
    assert.is(under.stateOf('p0'), answers ? 'alive' : 'gone')
  }
})

test('a closed connection makes a suspect at once; a heartbeat or a new connection clears it', () => {
  const under = member()
  under.dispatch({ kind: 'connected', peer: 'a' })
  under.heartbeat('a')
  const said = messages(under.dispatch({ kind: 'disconnected', peer: 'a' }), 'beat')
  assert.is(under.stateOf('a'), 'suspect')
  assert.equal(
    said.map(({ to, message }) => [to, message.suspects]),
    [[null, ['a']]],
  )
  under.heartbeat('a')
  assert.is(under.stateOf('a'), 'alive')
  under.dispatch({ kind: 'disconnected', peer: 'a' })
  under.dispatch({ kind: 'connected', peer: 'a' })
  assert.is(under.stateOf('a'), 'alive')
})

test('a heartbeat just after the connection closed clears the suspicion until the next is due', () => {
  const under = member()
  under.leads('a', 3)
  under.dispatch({ kind: 'disconnected', peer: 'a' })
  under.leads('a', 3)
  assert.is(under.core.leader, 'a')
  under.pass(350)
  assert.is(under.stateOf('a'), 'suspect')
  const lives = member()
  lives.leads('a', 3)
  lives.dispatch({ kind: 'disconnected', peer: 'a' })
  for (let i = 0; i < 8; i++) {
    lives.leads('a', 3)
    lives.pass(250)
    assert.is(lives.core.leader, 'a')
  }
})

test('a new connection does not clear the suspicion of a silent member', () => {
  const under = member()
  under.heartbeat('a')
  under.pass(3050)
  assert.is(under.stateOf('a'), 'suspect')
  under.dispatch({ kind: 'connected', peer: 'a' })
  assert.is(under.stateOf('a'), 'suspect')
})

test('a newly connected member receives a heartbeat at once', () => {
  const under = member()
  assert.equal(
    messages(under.dispatch({ kind: 'connected', peer: 'a' }), 'beat').map(({ to }) => to),
    ['a'],
  )
})

test('a second opinion makes a suspect gone, in either order; one opinion does not', () => {
  const first = member()
  first.heartbeat('a')
  first.heartbeat('b', { suspects: ['a'] })
  assert.is(first.stateOf('a'), 'alive')
  first.dispatch({ kind: 'disconnected', peer: 'a' })
  assert.is(first.stateOf('a'), 'gone')
  const second = member()
  second.heartbeat('a')
  second.heartbeat('b')
  second.dispatch({ kind: 'disconnected', peer: 'a' })
  second.heartbeat('a')
  second.heartbeat('b', { suspects: ['a'] })
  assert.is(second.stateOf('a'), 'alive')
  second.dispatch({ kind: 'disconnected', peer: 'a' })
  assert.is(second.stateOf('a'), 'gone')
})

test('a gone member returns with a heartbeat; one that has left does not', () => {
  const under = member()
  under.heartbeat('a')
  under.heartbeat('b', { suspects: ['a'] })
  under.dispatch({ kind: 'disconnected', peer: 'a' })
  assert.is(under.stateOf('a'), 'gone')
  under.heartbeat('a')
  assert.is(under.stateOf('a'), 'alive')
  under.receive('a', { kind: 'leave' })
  assert.is(under.stateOf('a'), 'gone')
  under.heartbeat('a')
  assert.is(under.stateOf('a'), 'gone')
})

test('it refutes a suspicion of itself at once, but not every repetition', () => {
  const under = member()
  under.heartbeat('a')
  under.pass(500)
  const said = () => messages(under.heartbeat('a', { suspects: ['me'] }), 'beat').length
  assert.is(said(), 1)
  assert.is(said(), 0)
  under.pass(300)
  assert.is(said(), 1)
})

test('a heartbeat overtaken by a newer one changes nothing', () => {
  const under = member()
  const term = { number: 4, leader: 'a' }
  under.leads('a', 4)
  under.heartbeat('a', { term: { number: 3, leader: 'b' }, draining: true })
  assert.is(under.stateOf('a'), 'alive')
  assert.equal(under.core.leader, 'a')
  assert.equal(under.core.term, term)
})

test('a restarted member replaces its old process as soon as that one is suspect', () => {
  const under = member()
  under.heartbeat('old', { name: 'node-1', startedAt: 1000 })
  under.heartbeat('new', { name: 'node-1', startedAt: 5000 })
  assert.is(under.stateOf('old'), 'alive')
  under.dispatch({ kind: 'disconnected', peer: 'old' })
  assert.is(under.stateOf('old'), 'gone')
  assert.is(under.nameOf('new'), 'node-1')
  // Heartbeats of the old process that were still in the network arrive together.
  under.heartbeat('old', { name: 'node-1', startedAt: 1000 })
  under.heartbeat('old', { name: 'node-1', startedAt: 1000 })
  assert.is(under.stateOf('old'), 'gone')
  under.pass(300)
  under.heartbeat('old', { name: 'node-1', startedAt: 1000 })
  assert.is(under.stateOf('old'), 'alive')
})

test('two live members of one name get distinct names, and one warning is logged', () => {
  const under = member()
  under.heartbeat('id-number-1', { name: 'node-1' })
  under.heartbeat('id-number-2', { name: 'node-1' })
  under.pass(500)
  const effects = [...under.heartbeat('id-number-1', { name: 'node-1' }), ...under.heartbeat('id-number-2', { name: 'node-1' })]
  under.pass(500)
  effects.push(...under.heartbeat('id-number-1', { name: 'node-1' }))
  assert.equal([under.nameOf('id-number-1'), under.nameOf('id-number-2')], ['node-1~mber-1', 'node-1~mber-2'])
  assert.is(warnings(effects).length, 1)
})

test("another member with this member's name is logged at once", () => {
  const under = member({ name: 'node-1' })
  assert.is(warnings(under.heartbeat('other-', { name: 'node-1' })).length, 1)
  assert.equal([under.nameOf('me'), under.nameOf('other-')], ['node-1~me', 'node-1~other-'])
})

test('the member list is bounded; a gone member frees a slot; one line reports the limit', () => {
  const under = member()
  const effects = []
  for (let i = 0; i < 2 * LIMITS.members; i++) effects.push(...under.heartbeat(`peer-${i}`))
  assert.is(under.core.members().length, LIMITS.members)
  assert.is(warnings(effects).length, 1)
  under.receive('peer-7', { kind: 'leave' })
  under.heartbeat('late')
  assert.is(under.core.members().length, LIMITS.members)
  assert.is(under.stateOf('late'), 'alive')
  assert.is(under.stateOf('peer-7'), undefined)
})

test('the list of suspects is bounded', () => {
  const under = member()
  for (let i = 0; i < 50; i++) under.heartbeat(`peer-${i}`)
  for (let i = 0; i < 50; i++) under.dispatch({ kind: 'disconnected', peer: `peer-${i}` })
  const last = messages(under.takeEffects(), 'beat').at(-1)
  assert.is(last?.message.suspects.length, LIMITS.suspects)
})

test('a suspension of this process makes no member suspect', () => {
  const under = member()
  under.heartbeat('a')
  under.leads('b', 1)
  under.sleep(30_000)
  under.dispatch({ kind: 'tick' })
  assert.equal([under.stateOf('a'), under.stateOf('b')], ['alive', 'alive'])
  assert.is(under.core.leader, 'b')
  under.pass(800)
  assert.is(under.stateOf('b'), 'suspect')
})

test('a clock that goes back stops nothing', () => {
  const under = member()
  under.heartbeat('a', { nextMs: 400 })
  under.sleep(-20_000)
  under.pass(3500)
  assert.is(under.stateOf('a'), 'gone')
  const since = under.core.members().find(({ id }) => id === 'a')?.since ?? 0
  assert.ok(Math.abs(since - under.now) < 500, `since ${since}, now ${under.now}`)
})

test('draining is announced at once, listed, and seen in others', () => {
  const under = member()
  under.heartbeat('a')
  const said = messages(under.dispatch({ kind: 'drain' }), 'beat')
  assert.equal(
    said.map(({ to, message }) => [to, message.draining]),
    [[null, true]],
  )
  assert.is(under.stateOf('me'), 'draining')
  under.heartbeat('a', { draining: true })
  assert.is(under.stateOf('a'), 'draining')
})

test('a member that changes its state all the time does not fill the log', () => {
  const under = member()
  under.heartbeat('a')
  const collected = []
  for (let i = 0; i < 50; i++) {
    collected.push(...under.dispatch({ kind: 'disconnected', peer: 'a' }), ...under.heartbeat('a'))
  }
  const lines = effectsOf(collected, 'log').filter(({ level }) => level !== 'debug')
  assert.ok(lines.length <= 6, `${lines.length}`)
})

test('changed local state is sent soon, clamped to what others accept', () => {
  const under = leader()
  const local = { manager: `m\u001b[2J${'x'.repeat(500)}`, managerHealthy: true, unreachableAll: false, seen: [], relay: [] }
  under.dispatch({
    kind: 'local',
    local: { ...local, unreachable: Array.from({ length: 80 }, (_, i) => `s${i}`), addresses: ['nonsense', '10.0.0.1:7946'] },
  })
  const [said] = messages(under.pass(150), 'beat')
  assert.is(said?.message.local.manager?.length, LIMITS.text)
  assert.not.match(said?.message.local.manager ?? '', '\u001b')
  assert.is(said?.message.local.unreachable.length, LIMITS.unreachable)
  assert.is(said?.message.local.unreachableAll, true)
  assert.equal(said?.message.local.addresses, ['10.0.0.1:7946'])
})

test('a changed digest of the secret state is sent soon, and reported where it arrives', () => {
  const under = member()
  under.heartbeat('a', { local: { ...LOCAL, secretState: 'a'.repeat(64) } })
  const same = under.heartbeat('a', { local: { ...LOCAL, secretState: 'a'.repeat(64) } })
  assert.is(effectsOf(same, 'members').length, 0)
  const changed = under.heartbeat('a', { local: { ...LOCAL, secretState: 'b'.repeat(64) } })
  assert.is(effectsOf(changed, 'members').length, 1)
  under.pass(1000)
  under.dispatch({ kind: 'local', local: { ...LOCAL, secretState: 'c'.repeat(64) } })
  const sent = messages(under.pass(200), 'beat')
  assert.is(sent.at(-1)?.message.local.secretState, 'c'.repeat(64))
})

test.run()
