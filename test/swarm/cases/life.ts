// Cases about the life cycle of tasks: rolling updates, scaling, draining, removal. The most important one: a task's desired state
// leaves `running` about three seconds before its process gets SIGTERM.

import * as assert from 'uvu/assert'
import type { SwarmCase } from './cases.ts'
import { inspect, roll, scale, setAvailability, withService } from './fixture.ts'
import { call, EventLog, type SwarmTarget } from './target.ts'
import { running, type Task, TaskWatch, tasksOf, waitFor } from './watch.ts'

/** The minimum time in ms from the desired state leaving `running` to SIGTERM. */
const leastLeadMs = 2_000

/**
 * For every old task, checks the time from its desired state leaving `running` to the SIGTERM of its container, by the events of its
 * node.
 */
function leads(watch: TaskWatch, log: EventLog, old: readonly Task[]): readonly number[] {
  return old.map(task => {
    const left = watch.of(task.ID).find(change => change.desired === 'shutdown' || change.desired === 'remove')
    const container = task.Status.ContainerStatus?.ContainerID
    const kill = log.seen.find(event => event.type === 'container' && event.action === 'kill' && event.id === container)
    assert.ok(left, `task ${task.ID} never left desired state running`)
    assert.ok(kill, `no SIGTERM seen for task ${task.ID}`)
    return watch.at(kill.atMs) - left.atMs
  })
}

async function watched(
  target: SwarmTarget,
  service: string,
  body: (watch: TaskWatch, log: EventLog) => Promise<void>,
): Promise<void> {
  const log = await EventLog.open([...target.managers, ...target.workers])
  const watch = new TaskWatch(target, service)
  try {
    await waitFor(target, 'the first look at the tasks', 5_000, async () => (watch.changes.length > 0 ? true : undefined))
    await body(watch, log)
  } finally {
    await watch.stop()
    log.close()
  }
  assert.equal(watch.wentBack, [], 'versions of tasks decreased')
}

function updated(target: SwarmTarget, service: string): Promise<unknown> {
  return waitFor(target, `${service} updated`, 60_000, async () => {
    const state = (await inspect(target, service)).UpdateStatus?.State
    return state === 'completed' || undefined
  })
}

export const lifeCases: readonly SwarmCase[] = [
  {
    name: 'rolling update, stop-first: one at a time, 3 s before SIGTERM, new task prepared, new addresses',
    run: target =>
      withService(target, 'c-roll', { replicas: 2, delayMs: 500 }, async ({ id, name }) => {
        const old = await running(target, name, 2)
        await watched(target, name, async (watch, log) => {
          await roll(target, name)
          await waitFor(target, 'the update to begin', 2_000, async () => {
            return (await inspect(target, name)).UpdateStatus?.State === 'updating' || undefined
          })
          await updated(target, name)
          const fresh = await running(target, name, 2)
          for (const lead of leads(watch, log, old)) assert.ok(lead >= leastLeadMs, `lead of ${lead} ms`)
          for (const task of old) {
            const states = watch.of(task.ID).map(change => `${change.desired}/${change.state}`)
            assert.equal(states.slice(0, 3), ['running/running', 'shutdown/running', 'shutdown/shutdown'])
          }
          for (const task of fresh) {
            const states = watch.of(task.ID).map(change => `${change.desired}/${change.state}`)
            assert.ok(
              states.some(state => state.startsWith('ready/')),
              states.join(' '),
            )
            assert.is(states.at(-1), 'running/running')
            assert.not(states.includes('ready/running'))
          }
          // One at a time: the second old task is retired only when the first new one runs.
          const left = old
            .map(task => watch.of(task.ID).find(change => change.desired === 'shutdown')?.atMs ?? 0)
            .sort((a, b) => a - b)
          const up = fresh
            .map(task => watch.of(task.ID).find(change => change.state === 'running')?.atMs ?? 0)
            .sort((a, b) => a - b)
          assert.ok((left[1] ?? 0) > (up[0] ?? Number.POSITIVE_INFINITY))
          const before = old.map(task => task.NetworksAttachments?.[0]?.Addresses[0])
          for (const task of fresh) assert.not(before.includes(task.NetworksAttachments?.[0]?.Addresses[0]))
          // The old tasks stay as history.
          const history = (await tasksOf(target, name)).filter(task => task.DesiredState === 'shutdown')
          assert.equal(history.map(task => task.ID).sort(), old.map(task => task.ID).sort())
          // Every manager delivers events of the update's begin and end; none delivers events of tasks.
          for (const manager of target.managers) {
            const delivered = log.seen.filter(event => event.endpoint === manager && event.type === 'service' && event.id === id)
            const states = delivered.map(event => event.attributes['updatestate.new']).filter(state => state !== undefined)
            assert.equal(states, ['updating', 'completed'])
          }
          assert.is(log.seen.filter(event => event.type === 'task').length, 0)
        })
      }),
  },
  {
    name: 'rolling update, start-first, two at a time: the old task runs until the new one does, then 3 s more',
    run: target =>
      withService(target, 'c-first', { replicas: 2, order: 'start-first', parallelism: 2 }, async ({ name }) => {
        const old = await running(target, name, 2)
        await watched(target, name, async (watch, log) => {
          await roll(target, name)
          await waitFor(target, 'all old tasks to end', 30_000, async () => {
            const tasks = await tasksOf(target, name)
            return old.every(task => tasks.find(one => one.ID === task.ID)?.Status.State === 'shutdown') || undefined
          })
          for (const lead of leads(watch, log, old)) assert.ok(lead >= leastLeadMs, `lead of ${lead} ms`)
          for (const task of old) {
            const left = watch.of(task.ID).find(change => change.desired === 'shutdown')
            const successor = watch.changes.find(
              change => change.slot === task.Slot && change.task !== task.ID && change.state === 'running',
            )
            // One poll may show both.
            assert.ok(left && successor && left.atMs >= successor.atMs)
          }
        })
      }),
  },
  {
    name: 'scale down: desired state remove, 3 s before SIGTERM, then no tasks; scale up: new ones run',
    run: target =>
      withService(target, 'c-scale', { replicas: 3 }, async ({ id, name }) => {
        const old = await running(target, name, 3)
        await watched(target, name, async (watch, log) => {
          await scale(target, name, 1)
          const left = await waitFor(target, 'two tasks to go', 30_000, async () => {
            const tasks = await tasksOf(target, name)
            return tasks.length === 1 ? tasks : undefined
          })
          const gone = old.filter(task => !left.some(one => one.ID === task.ID))
          assert.is(gone.length, 2)
          for (const lead of leads(watch, log, gone)) assert.ok(lead >= leastLeadMs, `lead of ${lead} ms`)
          for (const task of gone)
            assert.ok(watch.of(task.ID).some(change => change.desired === 'remove' && change.state === 'running'))
          const event = log.seen.find(one => one.id === id && one.attributes['replicas.new'] !== undefined)
          assert.is(event?.attributes['replicas.new'], '1')
          assert.is(event?.attributes['replicas.old'], '3')
          await scale(target, name, 2)
          await running(target, name, 2)
          assert.is((await inspect(target, name)).UpdateStatus, undefined)
        })
      }),
  },
  {
    name: 'drained node: its tasks move, with 3 s before SIGTERM; global services return with the node',
    run: target =>
      withService(target, 'c-drain', { replicas: 3 }, async ({ name }) => {
        const old = await running(target, name, 3)
        const node = old[0]?.NodeID ?? ''
        const moved = old.filter(task => task.NodeID === node)
        await withService(target, 'c-global', { replicas: 'global' }, async global => {
          const all = target.managers.length + target.workers.length
          await running(target, global.name, all)
          await watched(target, name, async (watch, log) => {
            try {
              await setAvailability(target, node, 'drain')
              await waitFor(target, 'the tasks to move', 30_000, async () => {
                const tasks = (await tasksOf(target, name)).filter(task => task.DesiredState === 'running')
                const settled = tasks.length === 3 && tasks.every(task => task.NodeID !== node && task.Status.State === 'running')
                return settled || undefined
              })
              for (const lead of leads(watch, log, moved)) assert.ok(lead >= leastLeadMs, `lead of ${lead} ms`)
              for (const task of moved)
                assert.ok(watch.of(task.ID).some(change => change.desired === 'shutdown' && change.state === 'running'))
              await running(target, global.name, all - 1)
              const delivered = log.seen.filter(
                event => event.type === 'node' && event.attributes['availability.new'] === 'drain',
              )
              assert.equal(new Set(delivered.map(event => event.endpoint)), new Set(target.managers))
            } finally {
              await setAvailability(target, node, 'active')
            }
            await running(target, global.name, all)
          })
        })
      }),
  },
  {
    name: 'service rm: gone at once, with an event on every manager; its tasks end 3 s later',
    run: target =>
      withService(target, 'c-remove', { replicas: 2 }, async ({ id, name }) => {
        const old = await running(target, name, 2)
        const log = await EventLog.open([...target.managers, ...target.workers])
        try {
          const manager = target.managers[0] ?? ''
          const removedAt = performance.now()
          assert.is((await call(manager, 'DELETE', `/services/${name}`)).status, 200)
          assert.is((await call(manager, 'GET', `/services/${id}`)).status, 404)
          const own = async (): Promise<readonly Task[]> =>
            ((await call(manager, 'GET', '/tasks')).body as Task[]).filter(task => task.ServiceID === id)
          await waitFor(target, 'the tasks to get desired state remove', 1_000, async () => {
            return (await own()).every(task => task.DesiredState === 'remove') || undefined
          })
          await waitFor(target, 'the tasks to go', 30_000, async () => ((await own()).length === 0 ? true : undefined))
          for (const task of old) {
            const container = task.Status.ContainerStatus?.ContainerID
            const kill = log.seen.find(event => event.action === 'kill' && event.id === container)
            assert.ok(kill, 'no SIGTERM seen')
            const lead = (kill.atMs - removedAt) * target.speed
            assert.ok(lead >= leastLeadMs, `lead of ${lead} ms`)
          }
          const delivered = log.seen.filter(event => event.id === id && event.action === 'remove').map(event => event.endpoint)
          assert.equal(new Set(delivered), new Set(target.managers))
        } finally {
          log.close()
        }
      }),
  },
]
