// The parts of the bench of shared state, their figures, and the command line.

import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

export const PARTS = ['cookie', 'learn', 'breaker', 'memory', 'gossip', 'spread', 'newcomer'] as const
export type Part = (typeof PARTS)[number]

/** The last line of `--json`; null: not measured in this run. */
export interface Figures {
  /** Additional CPU of the proxy per request with the feature, in microseconds. */
  stickyCookieUs: number | null
  stickyLearnUs: number | null
  breakerUs: number | null
  /** Memory in one data worker. */
  memoryBytesPerSession: number | null
  /** Bytes that one replica sends for each new session of the cluster. */
  gossipBytesPerSession: number | null
  /** Time in ms from a session's first answer until the data workers of all replicas use it. */
  sessionToAllMsP99Gossip: number | null
  sessionToAllMsP99Redis: number | null
  /** Time in ms from a newcomer's first connection until its store has all sessions; the slowest of the runs. */
  newcomerPullMs: number | null
}

export const NOTHING: Figures = {
  stickyCookieUs: null,
  stickyLearnUs: null,
  breakerUs: null,
  memoryBytesPerSession: null,
  gossipBytesPerSession: null,
  sessionToAllMsP99Gossip: null,
  sessionToAllMsP99Redis: null,
  newcomerPullMs: null,
}

export interface StateOptions {
  readonly parts: readonly Part[]
  /** Number of rounds of the CPU measurements. */
  readonly rounds: number
  /** Duration of one load, and of the flow of new sessions, in seconds. */
  readonly seconds: number | null
  /** The entry of Skein; null: a new build (`npm run build`). */
  readonly skein: string | null
  readonly profile: string | null
  readonly json: boolean
}

/** One second is wrk's minimum; many short rounds are more precise than few long ones. */
const ROUNDS = 16

export const HELP = `npm run --silent bench:state -- [options]

  --json            the last line is one JSON object
  --only A,B        only these parts: ${PARTS.join(', ')}
  --rounds N        rounds of the CPU measurements: in each, every variant is loaded once (${ROUNDS})
  --seconds N       length of one load (1), and of the flow of new sessions (6 to 10)
  --skein FILE      the entry of Skein: by default the result of \`npm run build\`, as in the image; src/main.ts runs from sources
  --profile DIR     write CPU profiles of the replica that is loaded (.cpuprofile) to DIR; figures are then too high

Needs wrk and nginx; without redis-server the spread through Redis is left out. Takes about four minutes.
`

export class UsageError extends Error {}

/** Parses the command line; null: help. Throws UsageError, which names the option, its value and what was expected. */
export function readOptions(args: readonly string[]): StateOptions | null {
  const { values } = parsed(args)
  if (values.help === true) return null
  const wanted = values.only?.split(',') ?? PARTS
  for (const name of wanted) {
    if (!PARTS.some(part => part === name)) throw new UsageError(`--only ${name}: expected some of ${PARTS.join(', ')}`)
  }
  return {
    parts: PARTS.filter(part => wanted.includes(part)),
    rounds: values.rounds === undefined ? ROUNDS : wholeNumber('--rounds', values.rounds, 1000),
    seconds: values.seconds === undefined ? null : wholeNumber('--seconds', values.seconds, 600),
    skein: values.skein === undefined ? null : resolve(values.skein),
    profile: values.profile === undefined ? null : resolve(values.profile),
    json: values.json === true,
  }
}

function parsed(args: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const options = { json: flag, help: flag, only: text, rounds: text, seconds: text, skein: text, profile: text }
  try {
    return parseArgs({ args: [...args], options })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function wholeNumber(option: string, text: string, most: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > most)
    throw new UsageError(`${option} ${text}: expected a whole number from 1 to ${most}`)
  return value
}
