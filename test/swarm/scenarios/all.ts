// All scenarios in the order of --all: planned changes first, then failures from small to large.

import { blind } from './blind.ts'
import { breakerRecovery, breakerShared } from './breakers.ts'
import { badLabel, deployNew, offNetwork, rollingUpdate, scaleDown, scaleUp } from './changes.ts'
import type { Scenario } from './contract.ts'
import { joinLate, killEdgeDaemon, partitionEdge, rollEdges, rollEdgesBehindHaproxy } from './edges.ts'
import { firewall } from './firewall.ts'
import { hangEdgeLeader, killEdgeLeader, killLeaderAndItsManager, killLeadersManager } from './leaders.ts'
import { managerLoad } from './manager-load.ts'
import {
  coldStart,
  coldStartWithoutManagers,
  flap,
  killAllManagers,
  killManagerDaemon,
  killManagerFollower,
  killManagerLeader,
} from './managers.ts'
import { deployMany } from './many.ts'
import { renewNetwork } from './networks.ts'
import { drainNode, restartEdge, vanishWorker } from './nodes.ts'
import { newQuorum, removeNodeByForce, restartDaemons } from './rebuilt.ts'
import { stickyKillRedis, stickyRestartRedis } from './redis.ts'
import { reuse } from './reuse.ts'
import { rotateSecret } from './secrets.ts'
import { stickySentinel } from './sentinel.ts'
import { renameEntryPoint, twoStacks } from './stacks.ts'
import { stickyAcrossEdges, stickyCutOverlay, stickyKillEdge, stickyLearn, stickyRollingUpdate } from './sticky.ts'

export const SCENARIOS: readonly Scenario[] = [
  rollingUpdate,
  scaleDown,
  scaleUp,
  deployNew,
  badLabel,
  offNetwork,
  drainNode,
  restartEdge,
  rollEdges,
  rollEdgesBehindHaproxy,
  renameEntryPoint,
  twoStacks,
  rotateSecret,
  joinLate,
  managerLoad,
  stickyAcrossEdges,
  stickyLearn,
  stickyRollingUpdate,
  stickyKillEdge,
  stickyCutOverlay,
  breakerShared,
  breakerRecovery,
  killEdgeLeader,
  hangEdgeLeader,
  partitionEdge,
  killManagerFollower,
  killManagerLeader,
  killManagerDaemon,
  killLeadersManager,
  killLeaderAndItsManager,
  flap,
  killEdgeDaemon,
  vanishWorker,
  killAllManagers,
  coldStart,
  coldStartWithoutManagers,
  reuse,
  renewNetwork,
  blind,
  stickySentinel,
  firewall,
  deployMany,
  restartDaemons,
  removeNodeByForce,
  newQuorum,
  stickyKillRedis,
  stickyRestartRedis,
]
