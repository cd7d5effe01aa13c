// The lab's verdict on a change of task, break or move, depends on the states and times that Swarm reported.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SessionChange } from '../../swarm/load/sessions.ts'
import type { SwarmTask } from '../../swarm/swarm.ts'
import { judgeSessions, note, type TaskLife } from '../../swarm/task-watch.ts'

const A = 'a'.repeat(64)
const B = 'b'.repeat(64)
const HOST_A = A.slice(0, 12)
const HOST_B = B.slice(0, 12)

function task(container: string, desired: string, state = desired): SwarmTask {
  return {
    ID: container,
    ServiceID: 's',
    NodeID: 'n',
    DesiredState: desired,
    Status: { State: state, Timestamp: '', ContainerStatus: { ContainerID: container } },
    Spec: { ContainerSpec: {} },
  }
}

function change(session: number, from: string, to: string, answeredAt: number): SessionChange {
  return { session, service: 's', by: 'cookie', from, to, before: from, edge: 'e1', sentAt: answeredAt - 1, answeredAt }
}

/** A runs at 100 and 200, and has another desired state from 300 on; B always runs. */
function lives(): Map<string, TaskLife> {
  const seen = new Map<string, TaskLife>()
  note(seen, [task(A, 'running'), task(B, 'running')], 100)
  note(seen, [task(A, 'running'), task(B, 'running')], 200)
  note(seen, [task(A, 'shutdown', 'running'), task(B, 'running')], 300)
  return seen
}

test('a change away from a healthy task: a break', () => {
  const { breaks, moves } = judgeSessions([change(1, HOST_B, HOST_A, 350)], lives())
  assert.is(breaks.length, 1)
  assert.is(moves, 0)
})

test('a change away from an ending task: a move from its last healthy poll on', () => {
  const { breaks, moves } = judgeSessions([change(1, HOST_A, HOST_B, 201), change(2, HOST_A, HOST_B, 5000)], lives())
  assert.equal(breaks, [])
  assert.is(moves, 2)
})

test('a change before the task was ended: a break', () => {
  const { breaks } = judgeSessions([change(1, HOST_A, HOST_B, 200)], lives())
  assert.is(breaks.length, 1)
})

test('a session moves and comes back: a break, since the task in between was healthy', () => {
  const { breaks, moves } = judgeSessions([change(1, HOST_A, HOST_B, 250), change(1, HOST_B, HOST_A, 260)], lives())
  assert.is(moves, 1)
  assert.equal(
    breaks.map(({ from }) => from),
    [HOST_B],
  )
})

test('two tasks at once: a split if the task ended, otherwise breaks', () => {
  const two = (before: string): SessionChange => ({ ...change(1, HOST_B, 'c', 260), before })
  assert.equal(
    { ...judgeSessions([two(HOST_A)], lives()), breaks: 0 },
    { breaks: 0, splits: 1, moves: 0, movedSessions: 0, mostMoves: 0 },
  )
  assert.is(judgeSessions([two(HOST_A)], lives()).breaks.length, 0)
  assert.is(judgeSessions([two('d')], lives()).breaks.length, 1)
})

test('a task that Swarm never reported: it cannot have been ended', () => {
  assert.is(judgeSessions([change(1, 'unknown', HOST_B, 5000)], lives()).breaks.length, 1)
})

test('moves: counted in total, by session, and the maximum of one session', () => {
  const seen = lives()
  note(seen, [task(B, 'shutdown', 'shutdown')], 400)
  const changes = [change(1, HOST_A, HOST_B, 250), change(1, HOST_B, 'c', 450), change(2, HOST_A, HOST_B, 260)]
  const { breaks, moves, movedSessions, mostMoves } = judgeSessions(changes, seen)
  assert.equal({ breaks, moves, movedSessions, mostMoves }, { breaks: [], moves: 3, movedSessions: 2, mostMoves: 2 })
})

test('a task without a container: ignored; a starting task: not healthy', () => {
  const seen = new Map<string, TaskLife>()
  note(seen, [{ ...task(A, 'running', 'preparing'), Status: { State: 'preparing', Timestamp: '' } }], 100)
  assert.is(seen.size, 0)
  note(seen, [task(A, 'running', 'starting')], 200)
  assert.equal(seen.get(HOST_A), { wellUntil: 0, ended: false })
})

test.run()
