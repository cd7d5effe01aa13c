// Every scenario, in the order in which --all runs them: ordinary days first, then losses from small to large.

import { badLabel, deployNew, rollingUpdate, scaleDown, scaleUp } from './changes.ts'
import type { Scenario } from './contract.ts'
import { coldStart, killAllManagers, killManagerDaemon, killManagerFollower, killManagerLeader } from './managers.ts'
import { drainNode, restartEdge, vanishWorker } from './nodes.ts'

export const SCENARIOS: readonly Scenario[] = [
  rollingUpdate,
  scaleDown,
  scaleUp,
  deployNew,
  badLabel,
  drainNode,
  restartEdge,
  killManagerFollower,
  killManagerLeader,
  killManagerDaemon,
  vanishWorker,
  killAllManagers,
  coldStart,
]
