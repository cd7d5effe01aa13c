// One seed: a cluster suffers faults for a while, must come to rest, must stay at rest, and plays a finale. Everything is drawn
// from the seed.

import { asIs, throughCodec } from './codec.ts'
import { harm, heal } from './faults.ts'
import {
  agree,
  agreeMs,
  type Ending,
  type Finale,
  lastWordsCount,
  pickFinale,
  play,
  settle,
  settleMs,
  staysQuiet,
} from './finale.ts'
import { Violation } from './invariants.ts'
import { Random } from './random.ts'
import type { MakeStore } from './stores.ts'
import { Trace } from './trace.ts'
import { type MakeCore, World } from './world.ts'

export interface SeedOptions {
  readonly seed: number
  /** Number of hosts; null: drawn from the seed. */
  readonly nodes: number | null
  readonly makeCore: MakeCore
  readonly makeStore: MakeStore
  /** Receives the history; null: none. */
  readonly write: ((line: string) => void) | null
  /** This finale without faults before it; null: as drawn. */
  readonly only?: Finale
}

export interface SeedResult {
  readonly seed: number
  readonly nodes: number
  /** Null: all invariants held. */
  readonly violation: {
    readonly invariant: string
    readonly who: string
    readonly details: string
    /** Virtual time, ms. */
    readonly atMs: number
  } | null
  /** From the end of all faults until the cluster was at rest, ms. */
  readonly settledMs: number | null
  readonly ending: Ending | null
  /** From the end of the finale until all stores were equal, ms. */
  readonly agreedMs: number | null
  readonly virtualMs: number
}

export const FEWEST_NODES = 3
export const MOST_NODES = 50
const QUIET_MS = 4000
/** Stores draw from a separate stream. */
const OF_STORES = 2 ** 49

/** Mostly small, sometimes large. */
function drawNodes(random: Random): number {
  const p = random.next()
  if (p < 0.5) return FEWEST_NODES + random.below(3)
  if (p < 0.985) return FEWEST_NODES + random.below(10)
  return FEWEST_NODES + random.below(MOST_NODES - FEWEST_NODES + 1)
}

/** Duration of writes to the stores when the finale begins. */
const DISTURBED_MS = 1500

export function simulate(options: SeedOptions): SeedResult {
  const random = new Random(options.seed)
  const drawn = drawNodes(random)
  const nodes = options.nodes ?? drawn
  const trace = new Trace(options.write)
  const world = new World({
    hosts: nodes,
    managers: 1 + random.below(5),
    random: random.fork(),
    makeCore: options.makeCore,
    makeStore: options.makeStore,
    ofStores: new Random(options.seed + OF_STORES),
    trace,
    relayed: random.chance(0.5),
    drift: random.chance(0.2) ? 0.01 : 0,
    oneName: random.chance(0.05),
    carried: random.chance(0.1) ? throughCodec() : asIs,
  })
  let settledMs: number | null = null
  let ending: Ending | null = null
  let agreedMs: number | null = null
  let violation: SeedResult['violation'] = null
  try {
    begin(world, random)
    if (options.only === undefined) {
      const harmMs = random.between(5000, 20_000)
      harm(world, random.fork(), harmMs)
      world.stores.disturb(harmMs, (ms, action) => world.later(ms, action))
      world.run(harmMs)
    }
    heal(world, random.fork())
    settledMs = settle(world, settleMs(nodes))
    staysQuiet(world, QUIET_MS)
    world.stores.disturb(DISTURBED_MS, (ms, action) => world.scheduler.after(ms, action))
    ending = play(world, options.only ?? pickFinale(random), random.fork())
    agreedMs = agree(world, agreeMs(nodes))
    lastWordsCount(world, agreeMs(nodes))
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    const { invariant, who, message } = error
    violation = { invariant, who, details: message, atMs: world.scheduler.now }
    world.note(who, `BROKEN: ${invariant}: ${message}`)
  }
  return { seed: options.seed, nodes, violation, settledMs, ending, agreedMs, virtualMs: world.scheduler.now }
}

/** Members start together, or one after the other. */
function begin(world: World, random: Random): void {
  const spreadMs = random.pick([0, 200, 3000])
  for (const { index } of world.hosts) {
    if (index > 0 && random.chance(0.1)) continue
    world.later(index === 0 ? 0 : random.between(0, spreadMs), () => {
      if (world.hosts[index]!.life === null) world.start(index)
    })
  }
}
