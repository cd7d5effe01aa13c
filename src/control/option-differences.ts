// Finds members of the cluster whose options would give another configuration than the leader's (shaping-options.ts). During a
// rolling update a difference is expected and logged as a warning; one that lasts longer is an error. Pure: the clock is a parameter.

import type { Member } from '../../cluster/core/state.ts'
import { LogLimit } from '../../cluster/rate-limit.ts'
import type { OptionDifference } from '../admin/admin-source.ts'

/** A line to log. */
export interface DifferenceLine {
  readonly level: 'info' | 'warn' | 'error'
  readonly fields: Readonly<Record<string, string>>
  readonly message: string
}

/** A shorter difference is not logged: members that join, or change a file, at the same time do so within seconds. */
export const WARN_AFTER_MS = 3_000
/** While members join and leave, an update is in progress. A difference this long after the last change is an error, ms. */
export const SETTLED_MS = 10 * 60_000
/** The longest update, even while members join and leave, ms. */
const LONGEST_UPDATE_MS = 60 * 60_000
/** A lasting error is logged again after this time, ms. */
const LOG_AGAIN_MS = 60 * 60_000

/** Bounds the log, because a member may announce anything. The list has all differences. */
const LINES_PER_MINUTE = 64

interface Logged {
  readonly member: string
  readonly option: string
  readonly level: 'warn' | 'error'
  readonly at: number
  readonly text: string
}

type Subject = Pick<Member, 'id' | 'name' | 'state' | 'role' | 'self' | 'options'>

export class OptionDifferences {
  private members: readonly Subject[] = []
  private leader: Subject | null = null
  /** Ids of the present members, joined. */
  private present = ''
  private settledAt: number
  /** Since when members differ, monotonic ms, by option. */
  private readonly since = new Map<string, number>()
  /** The last line about each member and option; the key is their JSON. */
  private readonly logged = new Map<string, Logged>()

  private readonly limit = new LogLimit(LINES_PER_MINUTE, 60_000)

  constructor(nowMs: number) {
    this.settledAt = nowMs
  }

  /** Sets the members. @param leader id of the leader; null if there is none: then this member's own options are compared with */
  update(members: readonly Subject[], leader: string | null, nowMs: number): void {
    this.members = members.filter(({ state }) => state !== 'gone')
    this.leader = this.members.find(({ id, self }) => (leader === null ? self : id === leader)) ?? null
    const present = this.members
      .map(({ id }) => id)
      .sort()
      .join(' ')
    if (present !== this.present) {
      this.present = present
      this.settledAt = nowMs
    }
    const differing = new Set<string>()
    const first = new Map<string, string>()
    for (const { options } of this.members) {
      for (const [option, value] of Object.entries(options ?? {})) {
        const other = first.get(option)
        if (other === undefined) first.set(option, value)
        else if (other !== value) differing.add(option)
      }
    }
    for (const option of this.since.keys()) if (!differing.has(option)) this.since.delete(option)
    for (const option of differing) if (!this.since.has(option)) this.since.set(option, nowMs)
  }

  /** Ordered by option, then member. A member that announces no options (an older version) is not compared. */
  list(nowMs: number): readonly OptionDifference[] {
    const { leader } = this
    if (leader?.options === undefined) return []
    const found: OptionDifference[] = []
    for (const [option, since] of [...this.since].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const leaderValue = leader.options[option]
      const severity =
        nowMs - Math.max(since, this.settledAt) >= SETTLED_MS || nowMs - since >= LONGEST_UPDATE_MS ? 'error' : 'warning'
      for (const { name, options } of this.members) {
        const value = options?.[option]
        if (value === undefined || leaderValue === undefined || value === leaderValue) continue
        found.push({
          member: name,
          option,
          value,
          leader: leader.name,
          leaderValue,
          forMs: Math.max(0, Math.round(nowMs - since)),
          severity,
        })
      }
    }
    return found
  }

  /** New lines since the last call. The leader logs the differences of all members, every other member only its own. */
  lines(nowMs: number): readonly DifferenceLine[] {
    const self = this.members.find(member => member.self)?.name
    const all = this.list(nowMs)
    const mine = all.filter(({ member, leader }) => leader === self || member === self)
    const lines: DifferenceLine[] = []
    const lasting = new Set<string>()
    for (const one of mine) {
      const { member, option, value, leader, leaderValue, forMs, severity } = one
      const key = keyOf(member, option)
      lasting.add(key)
      if (forMs < WARN_AFTER_MS) continue
      const level = severity === 'error' ? 'error' : 'warn'
      const text = `${value} ${leader} ${leaderValue}`
      const before = this.logged.get(key)
      const again = level === 'error' && before !== undefined && nowMs - before.at >= LOG_AGAIN_MS
      if (before?.level === level && before.text === text && !again) continue
      // Over the limit of this minute: logged by a later call.
      if (!this.limit.take(nowMs)) continue
      this.logged.set(key, { member, option, level, at: nowMs, text })
      const owner = member === self ? 'this replica' : member
      const reference = leader === self ? 'this replica, the leader,' : `the leader ${leader}`
      const lasts = level === 'error' ? ` for ${Math.round(forMs / 60_000)} min, and no rolling update is in progress` : ''
      lines.push({
        level,
        fields: { member, option, value, leader, leaderValue },
        message:
          `--${option} of ${owner} is ${quoted(value)}, that of ${reference} is ${quoted(leaderValue)}${lasts}: ` +
          "the leader's options are in effect; set the same value on all replicas",
      })
    }
    for (const [key, { member, option }] of this.logged) {
      if (lasting.has(key)) continue
      this.logged.delete(key)
      if (this.isOver(member, option, self, all) && this.limit.take(nowMs))
        lines.push({ level: 'info', fields: { member, option }, message: `--${option} of ${member} no longer differs` })
    }
    return lines
  }

  /**
   * True if the member's value is now the leader's. False if this member does not log it (another member leads), the member has left,
   * or one of the two announces no options.
   */
  private isOver(name: string, option: string, self: string | undefined, all: readonly OptionDifference[]): boolean {
    const { leader } = this
    const member = this.members.find(one => one.name === name)
    if (leader?.options === undefined || member?.options === undefined) return false
    if (leader.name !== self && name !== self) return false
    return !all.some(one => one.member === name && one.option === option)
  }
}

function keyOf(member: string, option: string): string {
  return JSON.stringify([member, option])
}

function quoted(value: string): string {
  return JSON.stringify(value)
}
