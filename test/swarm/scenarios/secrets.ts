// The cluster secret is replaced as docs/operating.md describes: three rolls of the whole stack, replicas and agents, under load.

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { clusterOf } from '../cluster.ts'
import { containerOn, deployedStore, deployStack, ensureSecret, REPLICA, removeSecrets, SECRET, STACK } from '../stack.ts'
import { anyManager, listServices, waitForUpdate } from '../swarm.ts'
import { EDGES, type LabNode } from '../topology.ts'
import { LOADED, observe, PromiseBroken, type Scenario } from './contract.ts'
import { allUnderWay, BY_APP, COOKIE, clients, LEARN_APP } from './sticky.ts'

const STEPS = [`${SECRET}_2`, `${SECRET}_3`, `${SECRET}_4`] as const
/** Time limit of a roll: three edges and three agents, one after the other, with the pauses of the stack file. */
const ROLLED_MS = 300_000
const AFTER_MS = 4000

/** The secret that the deployed stack accepts alone after the last roll. */
let replacedBy: string | null = null

/** Reads the secret from a replica, since Docker does not return it. */
async function secretOn(edge: LabNode): Promise<string> {
  const { pid } = await containerOn(edge, REPLICA)
  return readFileSync(`/proc/${pid}/root/run/secrets/skein_secret`, 'utf8').trim()
}

/** Rolls the stack to a secret; resolves with the duration in ms. */
async function roll(secret: string, text: string): Promise<number> {
  await ensureSecret(secret, text)
  const started = performance.now()
  await deployStack(deployedStore(), secret, ROLLED_MS)
  const parts = (await anyManager(listServices)).filter(({ Spec }) => [REPLICA, `${STACK}_managers`].includes(Spec.Name))
  for (const { ID } of parts) await waitForUpdate(ID, ROLLED_MS)
  return Math.round(performance.now() - started)
}

async function restore(): Promise<void> {
  // Creates a secret of the default name with the new text; going back to the old text would be a change in one step.
  if (replacedBy !== null) {
    await removeSecrets([SECRET])
    await ensureSecret(SECRET, replacedBy)
  }
  replacedBy = null
  await deployStack(deployedStore(), SECRET, ROLLED_MS)
  await removeSecrets(STEPS)
}

export const rotateSecret: Scenario = {
  name: 'rotate-secret',
  promise:
    'the cluster secret is replaced in three rolls of replicas and agents while clients with sessions (cookie, learned from the ' +
    'application) go from edge to edge: none leaves its task, no request fails but for connections refused unsent',
  backend: { replicas: 4, labels: COOKIE },
  services: { [BY_APP]: { replicas: 3, labels: LEARN_APP } },
  posts: false,
  sessions: [clients(LOADED, 'cookie', 200), clients(BY_APP, 'app', 200), clients(BY_APP, 'app', 60, { later: true })],
  rps: 150,
  onlyInAll: true,
  leaving: () => EDGES,
  tearDown: restore,
  async harm(scene) {
    await allUnderWay(scene)
    const before = await secretOn(scene.leader.node)
    const after = randomBytes(32).toString('hex')
    const rollsMs: number[] = []
    for (const [step, text] of [`${before}\n${after}`, `${after}\n${before}`, after].entries()) {
      rollsMs.push(await roll(STEPS[step]!, text))
      if (text === after) replacedBy = after
    }
    await scene.outside.begin()
    await allUnderWay(scene)
    await observe(AFTER_MS)
    for (const edge of EDGES) {
      if ((await secretOn(edge)) !== after)
        throw new PromiseBroken(`${edge.name} does not have the new secret alone`, { rollsMs })
      const { strangers } = await clusterOf(edge)
      if (strangers.length > 0)
        throw new PromiseBroken(`${edge.name} shares no secret with ${strangers.map(({ address }) => address).join(', ')}`, {
          rollsMs,
        })
    }
    return { rollsMs }
  },
}
