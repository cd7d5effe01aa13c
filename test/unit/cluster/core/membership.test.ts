// Who is here and how each is doing: joining, suspicion, second opinion, refutation, names, bounds, deafness of one's own.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { heartbeatInterval } from '../../../../cluster/core/membership.ts'
import { LIMITS, TIMING } from '../../../../cluster/core/state.ts'
import { effectsOf, leader, member, messages, warnings } from '../member.ts'

test('followers beat less often as the cluster grows: at most about 20 beats a second reach anybody, 6 where each takes several hops', () => {
  for (const members of [1, 2, 3, 10, 16, 30, 100, 256]) {
    const received = ((members - 2) * 1000) / heartbeatInterval(members, TIMING) + 4
    assert.ok(received <= (members <= 16 ? 20 : members <= 100 ? 6.1 : 9), `${members} members: ${received}`)
    assert.ok(heartbeatInterval(members, TIMING) >= TIMING.heartbeatMs)
  }
  assert.is(heartbeatInterval(3, TIMING), 1000)
})

test('a leader beats four times a second, a follower once', () => {
  const beats = messages(leader().pass(2000), 'beat').filter(({ to }) => to === null)
  assert.is(beats.length, 8)
  assert.is(beats[0]?.message.nextMs, 250)
  const follower = member()
  const heard = messages(
    follower.pass(5000, () => follower.leads('a', 3)),
    'beat',
  ).filter(({ to }) => to === null)
  assert.ok(heard.length >= 5 && heard.length <= 6, `${heard.length}`)
})

test('a member is suspect after three of its own beats missed, gone after two seconds more, forgotten after a minute', () => {
  const under = member()
  under.beat('a', { nextMs: 400 })
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

test('where beats are rare, the word of one who misses a member starts a short time in which it may say that it lives', () => {
  for (const answers of [true, false]) {
    const under = member()
    for (let i = 0; i < 20; i++) under.beat(`p${i}`, { nextMs: 10_000 })
    under.beat('p1', { nextMs: 10_000, suspects: ['p0'] })
    under.pass(1000)
    if (answers) under.beat('p0', { nextMs: 10_000 })
    under.pass(1200)
    // The one who misses it is the second opinion.
    assert.is(under.stateOf('p0'), answers ? 'alive' : 'gone')
  }
})

test('a closed connection makes a suspect at once, said to all at once; a beat clears it, and so does a new connection', () => {
  const under = member()
  under.give({ kind: 'connected', peer: 'a' })
  under.beat('a')
  const said = messages(under.give({ kind: 'disconnected', peer: 'a' }), 'beat')
  assert.is(under.stateOf('a'), 'suspect')
  assert.equal(
    said.map(({ to, message }) => [to, message.suspects]),
    [[null, ['a']]],
  )
  under.beat('a')
  assert.is(under.stateOf('a'), 'alive')
  under.give({ kind: 'disconnected', peer: 'a' })
  under.give({ kind: 'connected', peer: 'a' })
  assert.is(under.stateOf('a'), 'alive')
})

test('a beat that comes just after the connection closed may be the last: it clears, but only until the next is due', () => {
  const under = member()
  under.leads('a', 3)
  under.give({ kind: 'disconnected', peer: 'a' })
  under.leads('a', 3)
  assert.is(under.core.leader, 'a')
  under.pass(350)
  assert.is(under.stateOf('a'), 'suspect')
  const lives = member()
  lives.leads('a', 3)
  lives.give({ kind: 'disconnected', peer: 'a' })
  for (let i = 0; i < 8; i++) {
    lives.leads('a', 3)
    lives.pass(250)
    assert.is(lives.core.leader, 'a')
  }
})

test('a new connection is no sign of life of one that is silent', () => {
  const under = member()
  under.beat('a')
  under.pass(3050)
  assert.is(under.stateOf('a'), 'suspect')
  under.give({ kind: 'connected', peer: 'a' })
  assert.is(under.stateOf('a'), 'suspect')
})

test('who connects is told at once who is here', () => {
  const under = member()
  assert.equal(
    messages(under.give({ kind: 'connected', peer: 'a' }), 'beat').map(({ to }) => to),
    ['a'],
  )
})

test('a second opinion makes it gone, whichever comes first; one opinion alone does not', () => {
  const first = member()
  first.beat('a')
  first.beat('b', { suspects: ['a'] })
  assert.is(first.stateOf('a'), 'alive')
  first.give({ kind: 'disconnected', peer: 'a' })
  assert.is(first.stateOf('a'), 'gone')
  const second = member()
  second.beat('a')
  second.beat('b')
  second.give({ kind: 'disconnected', peer: 'a' })
  second.beat('a')
  second.beat('b', { suspects: ['a'] })
  assert.is(second.stateOf('a'), 'alive')
  second.give({ kind: 'disconnected', peer: 'a' })
  assert.is(second.stateOf('a'), 'gone')
})

test('who is gone comes back with a beat; who has left does not, its words were only late', () => {
  const under = member()
  under.beat('a')
  under.beat('b', { suspects: ['a'] })
  under.give({ kind: 'disconnected', peer: 'a' })
  assert.is(under.stateOf('a'), 'gone')
  under.beat('a')
  assert.is(under.stateOf('a'), 'alive')
  under.hear('a', { kind: 'leave' })
  assert.is(under.stateOf('a'), 'gone')
  under.beat('a')
  assert.is(under.stateOf('a'), 'gone')
})

test('it answers at once when it hears itself suspected, but not to every such word', () => {
  const under = member()
  under.beat('a')
  under.pass(500)
  const said = () => messages(under.beat('a', { suspects: ['me'] }), 'beat').length
  assert.is(said(), 1)
  assert.is(said(), 0)
  under.pass(300)
  assert.is(said(), 1)
})

test('a beat that was overtaken by a newer one changes nothing', () => {
  const under = member()
  const term = { number: 4, leader: 'a' }
  under.leads('a', 4)
  under.beat('a', { term: { number: 3, leader: 'b' }, draining: true })
  assert.is(under.stateOf('a'), 'alive')
  assert.equal(under.core.leader, 'a')
  assert.equal(under.core.term, term)
})

test('a member that is started anew takes the place of the old one as soon as that is suspect', () => {
  const under = member()
  under.beat('old', { name: 'node-1', startedAt: 1000 })
  under.beat('new', { name: 'node-1', startedAt: 5000 })
  assert.is(under.stateOf('old'), 'alive')
  under.give({ kind: 'disconnected', peer: 'old' })
  assert.is(under.stateOf('old'), 'gone')
  assert.is(under.nameOf('new'), 'node-1')
  // What the network still held of it comes all at once.
  under.beat('old', { name: 'node-1', startedAt: 1000 })
  under.beat('old', { name: 'node-1', startedAt: 1000 })
  assert.is(under.stateOf('old'), 'gone')
  under.pass(300)
  under.beat('old', { name: 'node-1', startedAt: 1000 })
  assert.is(under.stateOf('old'), 'alive')
})

test('two that live and bear one name are told apart, and one warning says so', () => {
  const under = member()
  under.beat('id-number-1', { name: 'node-1' })
  under.beat('id-number-2', { name: 'node-1' })
  under.pass(500)
  const effects = [...under.beat('id-number-1', { name: 'node-1' }), ...under.beat('id-number-2', { name: 'node-1' })]
  under.pass(500)
  effects.push(...under.beat('id-number-1', { name: 'node-1' }))
  assert.equal([under.nameOf('id-number-1'), under.nameOf('id-number-2')], ['node-1~mber-1', 'node-1~mber-2'])
  assert.is(warnings(effects).length, 1)
})

test('a name of its own borne by another is warned of at once', () => {
  const under = member({ name: 'node-1' })
  assert.is(warnings(under.beat('other-', { name: 'node-1' })).length, 1)
  assert.equal([under.nameOf('me'), under.nameOf('other-')], ['node-1~me', 'node-1~other-'])
})

test('the list of members is bounded; who is gone makes room, and one line tells that it is full', () => {
  const under = member()
  const effects = []
  for (let i = 0; i < 2 * LIMITS.members; i++) effects.push(...under.beat(`peer-${i}`))
  assert.is(under.core.members().length, LIMITS.members)
  assert.is(warnings(effects).length, 1)
  under.hear('peer-7', { kind: 'leave' })
  under.beat('late')
  assert.is(under.core.members().length, LIMITS.members)
  assert.is(under.stateOf('late'), 'alive')
  assert.is(under.stateOf('peer-7'), undefined)
})

test('what it suspects is named within bounds', () => {
  const under = member()
  for (let i = 0; i < 50; i++) under.beat(`peer-${i}`)
  for (let i = 0; i < 50; i++) under.give({ kind: 'disconnected', peer: `peer-${i}` })
  const last = messages(under.heardOf(), 'beat').at(-1)
  assert.is(last?.message.suspects.length, LIMITS.suspects)
})

test('whoever stood still itself suspects nobody for it', () => {
  const under = member()
  under.beat('a')
  under.leads('b', 1)
  under.sleep(30_000)
  under.give({ kind: 'tick' })
  assert.equal([under.stateOf('a'), under.stateOf('b')], ['alive', 'alive'])
  assert.is(under.core.leader, 'b')
  under.pass(800)
  assert.is(under.stateOf('b'), 'suspect')
})

test('a clock that is put back stops nothing', () => {
  const under = member()
  under.beat('a', { nextMs: 400 })
  under.sleep(-20_000)
  under.pass(3500)
  assert.is(under.stateOf('a'), 'gone')
  const since = under.core.members().find(({ id }) => id === 'a')?.since ?? 0
  assert.ok(Math.abs(since - under.now) < 500, `since ${since}, now ${under.now}`)
})

test('draining is told of at once, shown, and seen in others', () => {
  const under = member()
  under.beat('a')
  const said = messages(under.give({ kind: 'drain' }), 'beat')
  assert.equal(
    said.map(({ to, message }) => [to, message.draining]),
    [[null, true]],
  )
  assert.is(under.stateOf('me'), 'draining')
  under.beat('a', { draining: true })
  assert.is(under.stateOf('a'), 'draining')
})

test('a member that comes and goes all the time does not fill the log', () => {
  const under = member()
  under.beat('a')
  const told = []
  for (let i = 0; i < 50; i++) {
    told.push(...under.give({ kind: 'disconnected', peer: 'a' }), ...under.beat('a'))
  }
  const lines = effectsOf(told, 'log').filter(({ level }) => level !== 'debug')
  assert.ok(lines.length <= 6, `${lines.length}`)
})

test('what a member says of itself is told to the others soon, cut to what they accept', () => {
  const under = leader()
  const local = { manager: `m\u001b[2J${'x'.repeat(500)}`, managerHealthy: true, unreachableAll: false, seen: [], relay: [] }
  under.give({
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

test.run()
