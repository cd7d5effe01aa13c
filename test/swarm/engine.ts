// A node's Docker engine: starts it, stops it, or kills the whole node like a power cut. Each engine runs in its node's network
// namespace and control group, with its own mount and host name namespaces. It is started with nsenter and unshare, because
// `ip netns exec` remounts /sys, in which dockerd then finds no control groups.

import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../until.ts'
import { answers } from './docker.ts'
import { containerParent, daemonGroup, endAll, enterGroup, processesIn, removeGroups } from './groups.ts'
import { createNodeNetwork, namespacePath, removeNodeNetwork } from './network.ts'
import { GATEWAY, type LabNode } from './topology.ts'

const START_MS = 60_000
/** Time limit for a stop in good order; dockerd gives its containers 15 s. */
const END_MS = 60_000

function pidFile(node: LabNode): string {
  return join(node.dir, 'dockerd.pid')
}

function configFile(node: LabNode): string {
  return join(node.dir, 'daemon.json')
}

export function logFile(node: LabNode): string {
  return join(node.dir, 'dockerd.log')
}

/** Starts dockerd in an existing namespace. Its data directory may contain data of an earlier run. */
export function startEngine(node: LabNode): void {
  mkdirSync(node.dir, { recursive: true })
  rmSync(pidFile(node), { force: true })
  rmSync(join(node.dir, 'exec'), { recursive: true, force: true })
  writeFileSync(configFile(node), '{}')
  const script = [
    enterGroup(daemonGroup(node.name)),
    `exec nsenter --net=${namespacePath(node.namespace)} unshare --mount --uts --propagation private sh -c '${[
      `hostname ${node.name}`,
      'mount -t tmpfs none /run',
      'exec dockerd "$@"',
    ].join(' && ')}' dockerd "$@"`,
  ].join(' && ')
  const args = [
    ['--data-root', join(node.dir, 'data')],
    ['--exec-root', join(node.dir, 'exec')],
    ['--config-file', configFile(node)],
    ['--pidfile', pidFile(node)],
    ['-H', `unix://${node.socket}`],
    // The path that stack files mount; it belongs to the node, in the node's own /run.
    ['-H', 'unix:///var/run/docker.sock'],
    ['--cgroup-parent', containerParent(node.name)],
    ['--exec-opt', 'native.cgroupdriver=cgroupfs'],
    ['--storage-driver', 'overlay2'],
    // Nothing listens there, so an unknown name is refused at once, as in a network with a working DNS.
    ['--dns', GATEWAY],
  ].flat()
  const log = openSync(logFile(node), 'a')
  const child = spawn('sh', ['-c', script, 'sh', ...args], {
    detached: true,
    stdio: ['ignore', log, log],
    // Without this, every task first tries to pull its image and waits 10 s for a name that cannot be resolved.
    env: { ...process.env, DOCKER_SERVICE_PREFER_OFFLINE_IMAGE: '1' },
  })
  child.unref()
  closeSync(log)
}

/** Waits until the daemon answers. @throws with the end of its log if it does not */
export async function waitForEngine(node: LabNode): Promise<void> {
  try {
    await until(`the engine of ${node.name}`, () => answers(node), START_MS, { everyMs: 50 })
  } catch (error) {
    const tail = readFileSync(logFile(node), 'utf8').split('\n').slice(-12).join('\n')
    throw new Error(`${error instanceof Error ? error.message : error}\n${tail}`)
  }
}

/** The daemon's process id. @throws if it is not running */
export function enginePid(node: LabNode): number {
  for (const pid of processesIn(daemonGroup(node.name))) {
    try {
      if (readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'dockerd') return pid
    } catch {
      // The process has ended meanwhile.
    }
  }
  throw new Error(`no dockerd runs on ${node.name}`)
}

/** Switches the daemon's log of API calls on or off: `Calling GET /v1.41/tasks ...`. */
export function logCalls(node: LabNode, on: boolean): void {
  writeFileSync(configFile(node), JSON.stringify({ debug: on }))
  process.kill(enginePid(node), 'SIGHUP')
}

/** Kills the daemon alone (SIGKILL). Its containers keep running, because their shims are separate processes. */
export function killEngine(node: LabNode): void {
  process.kill(enginePid(node), 'SIGKILL')
}

/** Stops the daemon in good order, as a package upgrade does: it stops its containers first. Resolves when it has ended. */
export async function endEngine(node: LabNode): Promise<void> {
  const pid = enginePid(node)
  process.kill(pid, 'SIGTERM')
  await until(`the daemon of ${node.name} to end`, () => !processesIn(daemonGroup(node.name)).includes(pid), END_MS, {
    everyMs: 100,
  })
}

/** Kills a node: daemon, containerd, shims and containers, all at once and silently. */
export async function killNode(node: LabNode): Promise<void> {
  await endAll(node.name)
}

/** Starts a node again with its data, as after a power cut; its remaining processes are killed first. */
export async function rebootNode(node: LabNode): Promise<void> {
  await endAll(node.name)
  removeGroups(node.name)
  await removeNodeNetwork(node)
  await createNodeNetwork(node)
  startEngine(node)
  await waitForEngine(node)
}
